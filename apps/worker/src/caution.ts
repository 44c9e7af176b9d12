// Until the provider is proven, a process submits one generation at a time. Behind a wrong base URL any server may
// answer, and a submission answered with a web page has an unknown outcome. So a wrong address costs a few generations
// only. Naming a task proves nothing: many servers answer a POST with an `id`. Telling a state of the task does
// (task-known.ts).

import type { Upstream } from '@reelqueue/shared/providers/port'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { tellsOfTask } from './task-known.ts'

/** Delay for a submission without a turn: this process is stopping, so another process continues. */
const TURN_AGAIN_MS = 1_000

export interface Caution {
  /** The given upstream; an answer with the state of a task proves the provider. */
  readonly upstream: Upstream
  readonly isProven: () => boolean
  /** Runs a submission: at once when the provider is proven, otherwise after the earlier submissions. */
  run(submission: () => Promise<StepOutcome>): Promise<StepOutcome>
}

/** @param stopping after the abort no submission waits, and a submission that waited does not begin */
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
        if (tellsOfTask(answer)) prove()
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
