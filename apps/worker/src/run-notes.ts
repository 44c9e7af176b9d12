// Notes in Postgres that jobs of a step are taken, which readiness judges by: seldom, and in nobody's way.

import { type NotedStep, noteStepRuns } from '@reelqueue/shared/store/step-runs'
import type { StepDeps } from './deps.ts'

/** Well below the time after which a step counts as standing still. */
const EVERY_MS = 15_000

export interface RunNotes {
  /** A job of this step was taken. Never waits, never fails. */
  note(step: NotedStep): void
  /** Resolves when no note is being written. */
  idle(): Promise<void>
}

export function createRunNotes({ database, log }: Pick<StepDeps, 'database' | 'log'>): RunNotes {
  const notedAt = new Map<NotedStep, number>()
  const writing = new Set<Promise<void>>()

  async function write(step: NotedStep): Promise<void> {
    try {
      await noteStepRuns(database, [step])
    } catch (error) {
      log.warn({ event: 'run.unnoted', step, err: error })
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
