// Ends a batch, after the commit that may have ended the last generation.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { finishBatches } from '@reelqueue/shared/store/intake/batches'
import type { StepDeps } from '../deps.ts'

export async function finishBatch(deps: StepDeps, batchId: string): Promise<StepOutcome> {
  deps.afterCommit({ deliveries: await finishBatches(deps.database, [batchId]) })
  return { kind: 'done' }
}
