// Collects completed generations from the complete step and adds them to the render statistics: one statement for many.
// A crash or an outage loses samples of a mean, nothing more.

import { pause } from '@reelqueue/shared/runtime/clock'
import { recordRenders } from '@reelqueue/shared/store/lifecycle/render-stats'
import type { StepDeps } from './deps.ts'

const EVERY_MS = 2_000

export interface RenderNotes {
  note(generationId: string): void
  /** Records every few seconds until `signal` aborts, and then records the rest. */
  recordForever(signal: AbortSignal): Promise<void>
}

export function createRenderNotes({ database, log }: Pick<StepDeps, 'database' | 'log'>): RenderNotes {
  let notes: string[] = []

  async function record(): Promise<void> {
    const ids = notes
    notes = []
    try {
      await recordRenders(database, ids)
    } catch (error) {
      log.warn({ event: 'renders.unrecorded', renders: ids.length, err: error })
    }
  }
  return {
    note: (generationId) => {
      notes.push(generationId)
    },
    async recordForever(signal) {
      while (!signal.aborted) {
        await pause(EVERY_MS, signal)
        await record()
      }
    },
  }
}
