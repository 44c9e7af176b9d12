// Groups the database calls of simultaneous steps: one statement and one commit for many steps.

import type { Logger } from '@reelqueue/shared/runtime/log'
import { microBatch, SINGLE_ROW } from '@reelqueue/shared/runtime/micro-batch'
import { type Turns, takeTurns } from '@reelqueue/shared/runtime/turns'
import { type Database, halfOf, UncertainCommit } from '@reelqueue/shared/store/database'
import { type FinishedAttempt, recordAttempt, recordAttempts } from '@reelqueue/shared/store/deliveries/attempts'
import type { ClaimedDelivery } from '@reelqueue/shared/store/deliveries/claimed-delivery'
import { claimDeliveries, claimDelivery, type Wanted } from '@reelqueue/shared/store/deliveries/claims'
import { type DispatchedDelivery, findDispatchedDeliveries } from '@reelqueue/shared/store/deliveries/deliveries'
import { type Acceptance, recordAccepted, recordOneAccepted } from '@reelqueue/shared/store/lifecycle/acceptance'
import { completeGeneration, completeGenerations } from '@reelqueue/shared/store/lifecycle/completion'
import type { Moved } from '@reelqueue/shared/store/lifecycle/moves'
import type { RecordedOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import {
  type BeginRequest,
  type BeginResult,
  beginSubmission,
  beginSubmissions,
} from '@reelqueue/shared/store/lifecycle/submissions'
import { isCommonFailure } from '@reelqueue/shared/store/unavailable'
import type { RefusedStatement } from '@reelqueue/shared/store/unstorable'
import { notingUnstorable } from '@reelqueue/shared/store/unstorable-search'

interface MicroBatchDeps {
  readonly database: Database
  readonly log: Logger
}

export interface MicroBatches {
  /** Begins the submission of a generation. */
  begin(request: LeasedBeginRequest): Promise<BeginResult>
  accept(acceptance: Acceptance): Promise<RecordedOutcome>
  complete(generationId: string): Promise<Moved[]>
  findDispatched(deliveryId: string): Promise<DispatchedDelivery | null>
  claim(wanted: Wanted): Promise<ClaimedDelivery | null>
  record(finished: FinishedAttempt): Promise<void>
  /**
   * Turns for single-row work without a task id; limited to half of the connections. Recording a task id, which would
   * be lost with this process, never waits for these turns.
   */
  readonly singleRow: Turns
}

export interface LeasedBeginRequest extends BeginRequest {
  readonly upstream: string
  readonly leaseMs: number
}

/** The guarded client gives up after 15 s; half a minute later the attempt counts as lost. */
const DELIVERY_LEASE_MS = 45_000
/** Rows of a statement: enough to share the cost, few enough to finish in a few milliseconds. */
const SIZE_MAX = 200

/** A delay of this length does not matter to a step. */
const EVERY_MS = 50
/** Shorter, because the next delivery to a server waits for the claim and the record. */
const DELIVERING_EVERY_MS = 10

export function createMicroBatches({ database, log }: MicroBatchDeps): MicroBatches {
  const onError = (error: unknown) => log.error({ event: 'microbatch.failed', err: error })
  const singleRow = takeTurns(halfOf(database))
  const noting = <T>(statement: RefusedStatement, id: string, run: () => Promise<T>) =>
    notingUnstorable(database, statement, id, run)
  const common = { sizeMax: SIZE_MAX, everyMs: EVERY_MS, isCommon: isCommonFailure, onError }
  return {
    begin: microBatch({
      ...common,
      // After an uncertain commit, the single-row fallback would find committed intents and not recognise them.
      isCommon: (error) => error instanceof UncertainCommit || isCommonFailure(error),
      run: async (requests) => {
        // All requests of a worker have the same upstream and lease.
        const [{ upstream, leaseMs } = { upstream: '', leaseMs: 0 }] = requests
        return (await beginSubmissions(database, requests, upstream, leaseMs)).map(orSingleRow)
      },
      singleRow: {
        run: ({ upstream, leaseMs, ...request }) =>
          noting('submit', request.generationId, () => beginSubmission(database, request, upstream, leaseMs)),
        turns: singleRow,
      },
    }),
    accept: microBatch({
      ...common,
      run: async (acceptances) => (await recordAccepted(database, acceptances)).map(orSingleRow),
      singleRow: { run: (acceptance) => recordOneAccepted(database, acceptance), turns: takeTurns(halfOf(database)) },
    }),
    complete: microBatch({
      ...common,
      run: async (ids) => (await completeGenerations(database, ids)).map(orSingleRow),
      singleRow: { run: (id) => noting('end', id, () => completeGeneration(database, id)), turns: singleRow },
    }),
    findDispatched: microBatch({ ...common, run: (ids) => findDispatchedDeliveries(database, ids) }),
    claim: microBatch({
      ...common,
      everyMs: DELIVERING_EVERY_MS,
      run: (wanted) => claimDeliveries(database, wanted, DELIVERY_LEASE_MS),
      singleRow: { run: (wanted) => claimDelivery(database, wanted, DELIVERY_LEASE_MS), turns: singleRow },
    }),
    record: microBatch({
      ...common,
      everyMs: DELIVERING_EVERY_MS,
      run: async (finished) =>
        (await recordAttempts(database, finished)).map((isDone) => (isDone ? undefined : SINGLE_ROW)),
      singleRow: {
        run: (finished) => noting('deliver', finished.attempt.deliveryId, () => recordAttempt(database, finished)),
        turns: singleRow,
      },
    }),
    singleRow,
  }
}

/** A shared statement returns null for a row that needs the single-row fallback. */
const orSingleRow = <T>(value: T | null): T | typeof SINGLE_ROW => value ?? SINGLE_ROW
