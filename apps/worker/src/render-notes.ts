// Which generations have completed, noted by the complete step and taken into the render statistics together: one statement for
// many. What a crash or an outage takes along is missing from a mean, and nowhere else.

import { pause } from '@reelqueue/shared/runtime/clock'
import { recordRenders } from '@reelqueue/shared/store/render-stats'
import type { StepDeps } from './deps.ts'

const EVERY_MS = 2_000

export interface RenderNotes {
  note(generationId: string): void
  /** Records every few seconds until `signal` aborts, and what is left then. */
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
