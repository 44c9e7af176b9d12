// One delivery at a time, as tests of the store want them.

import type { Database } from '@reelqueue/shared/store/database'
import {
  type AttemptRecord,
  type ClaimedDelivery,
  claimDeliveries,
  type DeliveryVerdict,
  recordAttempts,
  type Wanted,
} from '@reelqueue/shared/store/deliveries'

const claimOne = async (database: Database, wanted: Wanted, leaseMs: number): Promise<ClaimedDelivery | null> =>
  (await claimDeliveries(database, [wanted], leaseMs))[0] ?? null

export const claimDelivery = (database: Database, id: string, leaseMs: number) => claimOne(database, { id }, leaseMs)

export const claimNextDelivery = (database: Database, target: string, leaseMs: number) =>
  claimOne(database, { target }, leaseMs)

export const recordAttempt = (database: Database, attempt: AttemptRecord, verdict: DeliveryVerdict) =>
  recordAttempts(database, [{ attempt, verdict }])
