// Carries out terminal answers: status, video, event and deliveries in one statement. A lane does so at once with the completions that
// it hears; this step is for every other answer, which waits on its row, and for what a crash has left there.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { Moved } from '@reelqueue/shared/store/moves'
import type { StepDeps } from '../deps.ts'

export async function complete(deps: StepDeps, generationId: string): Promise<StepOutcome> {
  followEnds(deps, await deps.batches.complete(generationId))
  return { kind: 'done' }
}

/** What follows from the ends of generations, after their commit. */
export function followEnds(deps: StepDeps, moved: readonly Moved[]): void {
  if (moved.length === 0) return
  deps.queues.wakeOwed(moved)
  for (const { id } of moved) {
    deps.noteRender(id)
    deps.log.info({ event: 'complete.done', generationId: id })
  }
  // Slots are free.
  deps.admit()
}
