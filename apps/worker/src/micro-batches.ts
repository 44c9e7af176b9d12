// What steps that run side by side do together: one statement and one commit for many of them.

import { ALONE, microBatch } from '@reelqueue/shared/runtime/micro-batch'
import { type Turns, takeTurns } from '@reelqueue/shared/runtime/turns'
import { completeGeneration, completeGenerations } from '@reelqueue/shared/store/completion'
import { halfOf, UncertainCommit } from '@reelqueue/shared/store/database'
import {
  type ClaimedDelivery,
  claimDeliveries,
  claimDelivery,
  findWokenDeliveries,
  type Judged,
  recordAttempt,
  recordAttempts,
  type Wanted,
  type WokenDelivery,
} from '@reelqueue/shared/store/deliveries'
import type { Moved } from '@reelqueue/shared/store/moves'
import { type Acceptance, type Settled, settleAccepted, settleOneAccepted } from '@reelqueue/shared/store/settlement'
import {
  type BeginResult,
  type BeginWish,
  beginSubmission,
  beginSubmissions,
} from '@reelqueue/shared/store/submissions'
import { isCommonFailure } from '@reelqueue/shared/store/unavailable'
import { notingUnstorable, type RefusedStatement } from '@reelqueue/shared/store/unstorable'
import type { StepDeps } from './deps.ts'

export interface MicroBatches {
  /** Begins the submission of a generation. */
  begin(wish: LeasedWish): Promise<BeginResult>
  accept(acceptance: Acceptance): Promise<Settled>
  complete(generationId: string): Promise<Moved[]>
  findWoken(deliveryId: string): Promise<WokenDelivery | null>
  claim(wanted: Wanted): Promise<ClaimedDelivery | null>
  record(judged: Judged): Promise<void>
  /**
   * Runs what concerns one row and holds no task id: at once so few that they take half of the connections at the most. What holds a
   * task id, which is lost with this process, waits behind none of them.
   */
  readonly alone: Turns
}

export interface LeasedWish extends BeginWish {
  readonly upstream: string
  readonly leaseMs: number
}

/** The guarded client gives up after 15 s; half a minute more, and the attempt counts as lost. */
const DELIVERY_LEASE_MS = 45_000
/** Rows of one statement: enough to share its cost, few enough to be done in some milliseconds. */
const SIZE_MAX = 200

/** Nobody notices a step that is so much later. */
const EVERY_MS = 50
/** Claims and records keep servers busy: the next delivery waits for them. */
const DELIVERING_EVERY_MS = 10

export function createMicroBatches({ database, log }: Pick<StepDeps, 'database' | 'log'>): MicroBatches {
  const onError = (error: unknown) => log.error({ event: 'batch.failed', err: error })
  const alone = takeTurns(halfOf(database))
  const noting = <T>(statement: RefusedStatement, id: string, run: () => Promise<T>) =>
    notingUnstorable(database, statement, id, run)
  const common = { sizeMax: SIZE_MAX, everyMs: EVERY_MS, isCommon: isCommonFailure, onError }
  return {
    begin: microBatch({
      ...common,
      // One by one they would find the intents of the others, which they do not know to be theirs.
      isCommon: (error) => error instanceof UncertainCommit || isCommonFailure(error),
      run: async (wishes) => {
        // A worker has one upstream and one lease.
        const [{ upstream, leaseMs } = { upstream: '', leaseMs: 0 }] = wishes
        return (await beginSubmissions(database, wishes, upstream, leaseMs)).map(orAlone)
      },
      alone: {
        run: ({ upstream, leaseMs, ...wish }) =>
          noting('submit', wish.generationId, () => beginSubmission(database, wish, upstream, leaseMs)),
        turns: alone,
      },
    }),
    accept: microBatch({
      ...common,
      run: async (acceptances) => (await settleAccepted(database, acceptances)).map(orAlone),
      alone: { run: (acceptance) => settleOneAccepted(database, acceptance), turns: takeTurns(halfOf(database)) },
    }),
    complete: microBatch({
      ...common,
      run: async (ids) => (await completeGenerations(database, ids)).map(orAlone),
      alone: { run: (id) => noting('end', id, () => completeGeneration(database, id)), turns: alone },
    }),
    findWoken: microBatch({ ...common, run: (ids) => findWokenDeliveries(database, ids) }),
    claim: microBatch({
      ...common,
      everyMs: DELIVERING_EVERY_MS,
      run: (wanted) => claimDeliveries(database, wanted, DELIVERY_LEASE_MS),
      alone: { run: (wanted) => claimDelivery(database, wanted, DELIVERY_LEASE_MS), turns: alone },
    }),
    record: microBatch({
      ...common,
      everyMs: DELIVERING_EVERY_MS,
      run: async (judged) => (await recordAttempts(database, judged)).map((isDone) => (isDone ? undefined : ALONE)),
      alone: {
        run: (judged) => noting('deliver', judged.attempt.deliveryId, () => recordAttempt(database, judged)),
        turns: alone,
      },
    }),
    alone,
  }
}

/** Null is what a shared statement says of a row that is not ordinary. */
const orAlone = <T>(value: T | null): T | typeof ALONE => value ?? ALONE
