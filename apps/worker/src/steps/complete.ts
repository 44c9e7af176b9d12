// Records terminal answers: status, video, event and deliveries in one statement. A poller records the completions of
// its own polls at once; this step handles every other stored answer, and answers left by a crash.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { StepDeps } from '../deps.ts'

export async function complete({ batches, afterCommit, log }: StepDeps, generationId: string): Promise<StepOutcome> {
  const moved = await batches.complete(generationId)
  afterCommit({ moved, rendered: moved })
  for (const { id } of moved) log.info({ event: 'complete.done', generationId: id })
  return { kind: 'done' }
}
