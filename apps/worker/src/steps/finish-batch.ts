// Ends a batch, after the commit that may have ended the last generation.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { finishBatches } from '@reelqueue/shared/store/batches'
import type { StepDeps } from '../deps.ts'

export async function finishBatch(deps: StepDeps, batchId: string): Promise<StepOutcome> {
  const deliveryIds = await finishBatches(deps.database, [batchId])
  deps.queues.wake(
    'deliver',
    deliveryIds.map((id) => ({ id, wakes: 0 })),
  )
  return { kind: 'done' }
}
