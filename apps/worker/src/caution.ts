// Until the provider has shown that it is one, a process submits one generation at a time: behind a wrong base URL anything may
// answer, and what answers with a page may have taken the task for all one knows. So a wrong address costs a few generations.
// That it names a task shows nothing yet: many servers answer a POST with an `id`. That it tells of the task does (task-known.ts).

import type { Upstream } from '@reelqueue/shared/providers/port'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { NO_TASK } from './steps/probe.ts'
import { tellsOfTask } from './task-known.ts'

/** When one that could not have its turn is to look again: this process stops, so another one will. */
const TURN_AGAIN_MS = 1_000

export interface Caution {
  /** The same, but noticed: what tells of a task is the provider. */
  readonly upstream: Upstream
  readonly isProven: () => boolean
  /** Runs a submission: at once when the provider is proven, else after those before it. */
  run(submission: () => Promise<StepOutcome>): Promise<StepOutcome>
}

/** @param stopping from then on nobody waits, and nobody who has waited begins */
export function createCaution(upstream: Upstream, stopping: AbortSignal): Caution {
  let isProven = false
  let last: Promise<unknown> = Promise.resolve()
  let release: () => void = () => undefined
  const freed = new Promise<void>((resolve) => {
    release = resolve
  })
  stopping.addEventListener('abort', () => release(), { once: true })
  const prove = () => {
    isProven = true
    release()
  }
  return {
    isProven: () => isProven,
    upstream: {
      ...upstream,
      async poll(taskId) {
        const answer = await upstream.poll(taskId)
        // Who tells of the task that nobody made tells of anything.
        if (taskId !== NO_TASK && tellsOfTask(answer)) prove()
        return answer
      },
    },
    async run(submission) {
      if (isProven) return await submission()
      const before = last
      const turn = async (): Promise<StepOutcome> => {
        await Promise.race([before, freed])
        if (stopping.aborted && !isProven) return { kind: 'later', delayMs: TURN_AGAIN_MS }
        return await submission()
      }
      const own = turn()
      last = own.catch(() => undefined)
      return await own
    },
  }
}
