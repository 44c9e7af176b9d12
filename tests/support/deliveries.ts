// Claims and records a single delivery, for tests of the store.

import type { Database } from '@reelqueue/shared/store/database'
import {
  type AttemptRecord,
  type DeliveryDecision,
  recordAttempt as recordOne,
} from '@reelqueue/shared/store/deliveries/attempts'
import type { ClaimedDelivery } from '@reelqueue/shared/store/deliveries/claimed-delivery'
import { claimDeliveries, type Wanted } from '@reelqueue/shared/store/deliveries/claims'

async function claimOne(database: Database, wanted: Wanted, leaseMs: number): Promise<ClaimedDelivery | null> {
  const [claimed = null] = await claimDeliveries(database, [wanted], leaseMs)
  if (claimed instanceof Error) throw claimed
  return claimed
}

export const claimDelivery = (database: Database, id: string, leaseMs: number) => claimOne(database, { id }, leaseMs)

export const claimNextDelivery = (database: Database, origin: string, leaseMs: number) =>
  claimOne(database, { origin }, leaseMs)

export const recordAttempt = (database: Database, attempt: AttemptRecord, decision: DeliveryDecision) =>
  recordOne(database, { attempt, decision })
