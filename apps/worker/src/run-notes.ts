// Records in Postgres that jobs of a step are taken; readiness reads the records. Writes are rare and delay no job.

import { type NotedStep, noteStepRuns } from '@reelqueue/shared/store/operator/step-runs'
import type { StepDeps } from './deps.ts'

/** Well below the time after which a step counts as stalled. */
const EVERY_MS = 15_000

export interface RunNotes {
  /** Records that a job of the step was taken. Never waits, never fails. */
  note(step: NotedStep): void
  /** Resolves when no record is being written. */
  idle(): Promise<void>
}

export function createRunNotes({ database, log }: Pick<StepDeps, 'database' | 'log'>): RunNotes {
  const notedAt = new Map<NotedStep, number>()
  const writing = new Set<Promise<void>>()

  async function write(step: NotedStep): Promise<void> {
    try {
      await noteStepRuns(database, [step])
    } catch (error) {
      log.warn({ event: 'step_runs.unrecorded', step, err: error })
    }
  }
  return {
    note(step) {
      const now = performance.now()
      if (now - (notedAt.get(step) ?? Number.NEGATIVE_INFINITY) < EVERY_MS) return
      notedAt.set(step, now)
      const written = write(step).finally(() => writing.delete(written))
      writing.add(written)
    },
    async idle() {
      await Promise.all(writing)
    },
  }
}
