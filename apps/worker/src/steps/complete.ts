// Carries out the terminal answer that a poll left on the row: status, video, event and deliveries in one statement.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { completeGeneration } from '@reelqueue/shared/store/completion'
import type { StepDeps } from '../deps.ts'

/** @param note is told of each generation that ended here */
export async function complete(
  deps: StepDeps,
  generationId: string,
  note: (generationId: string) => void,
): Promise<StepOutcome> {
  const moved = await completeGeneration(deps.database, generationId)
  if (moved.length > 0) {
    deps.queues.wakeOwed(moved)
    note(generationId)
    // A slot is free.
    deps.admit()
    deps.log.info({ event: 'complete.done', generationId })
  }
  return { kind: 'done' }
}
