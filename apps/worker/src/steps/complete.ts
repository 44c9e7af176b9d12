// Records terminal answers: status, video, event and deliveries in one statement. A poller records the completions of
// its own polls at once; this step handles every other stored answer, and answers left by a crash.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { Moved } from '@reelqueue/shared/store/moves'
import type { StepDeps } from '../deps.ts'

export async function complete(deps: StepDeps, generationId: string): Promise<StepOutcome> {
  followEnds(deps, await deps.batches.complete(generationId))
  return { kind: 'done' }
}

/** Consequences of ended generations, after the commit. */
export function followEnds(deps: StepDeps, moved: readonly Moved[]): void {
  if (moved.length === 0) return
  deps.queues.wakeOwed(moved)
  for (const { id } of moved) {
    deps.noteRender(id)
    deps.log.info({ event: 'complete.done', generationId: id })
  }
  // The ends freed slots.
  deps.admit()
}
