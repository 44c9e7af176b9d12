// The ledger of paid acts, before the act: the intent is committed before the POST. record-outcome.ts records the outcome.

import { beginning, type Beginning as Decided } from '../../domain/lifecycle/begin.ts'
import type { Snapshot } from '../../domain/lifecycle/snapshot.ts'
import type { RenderRequest } from '../../domain/render-request.ts'
import { isAfterTrouble } from '../admission/gate-answers.ts'
import { gateOpensMs, isClosed } from '../admission/submitting-gate.ts'
import { type Database, type Sql, transact, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { BEING_CANCELLED } from './batch-changes.ts'
import { moveGenerations } from './moves.ts'
import { readSnapshots } from './snapshots.ts'

/** When a held resubmission checks the gate again: the longest and the shortest wait. */
const HELD_MS = 5_000
const HELD_MIN_MS = 100

/** The data that the submit step needs to pay for one render. */
export interface Intent {
  readonly submissionId: string
  /** Submissions of this attempt so far, including this submission. */
  readonly number: number
  readonly request: RenderRequest
  /** Earlier submissions were refused or not answered, so an answer to this submission is worth noting. */
  readonly isAfterFailure: boolean
  /** `performance.now()` just before the commit. The lease began only slightly earlier. */
  readonly preparedAtMs: number
}

/** Begun, or the reason why not. */
export type BeginResult = { readonly kind: 'begun'; readonly intent: Intent } | Exclude<Decided, { kind: 'begin' }>

interface LockedGeneration extends RenderRequest {
  readonly isHeld: boolean
  /** Milliseconds until the wait requested by the provider is over; null when another cause holds the generation. */
  readonly gateOpensMs: number | null
  readonly isAfterFailure: boolean
  /** Submissions of this attempt. */
  readonly submissions: number
}

interface Beginning extends RenderRequest {
  readonly submissionId: string
  readonly submissionsBefore: number
  readonly isAfterFailure: boolean
}

/** One caller's request to submit. */
export interface BeginRequest {
  readonly generationId: string
  /** Unique to this request. With this id the caller finds the intent when the answer to its COMMIT is lost. */
  readonly submissionId: string
}

/**
 * Commits the intents of the generations that still need a submission, in one statement. The results are in the order
 * of `requests`: null when the generation needs a closer look or another transaction locks the row.
 * @param leaseMs without an outcome after this time the submission counts as unknown
 * @throws UncertainCommit when the intents may have been committed: no request may be sent (settleUnsent)
 */
export async function beginSubmissions(
  database: Database,
  requests: readonly BeginRequest[],
  upstream: string,
  leaseMs: number,
): Promise<(BeginResult | null)[]> {
  const begun = await withRetry(() => beginOrdinary(database, requests, upstream, leaseMs))
  return requests.map(({ generationId, submissionId }) => {
    const intent = begun.get(generationId)
    // INVARIANT: an intent belongs to one caller.
    return intent?.submissionId === submissionId ? { kind: 'begun', intent } : null
  })
}

/** Begins the first submission of admitted generations that nothing holds back. @returns the intents by generation */
async function beginOrdinary(
  database: Database,
  requests: readonly BeginRequest[],
  upstream: string,
  leaseMs: number,
): Promise<Map<string, Intent>> {
  const generationIds = requests.map((request) => request.generationId)
  // Looked up by id: a join would compare every row with every request.
  const submissionIds = JSON.stringify(
    Object.fromEntries(requests.map(({ generationId, submissionId }) => [generationId, submissionId])),
  )
  const ctes = Prisma.sql`
    given AS (
      SELECT ${submissionIds}::jsonb AS ids
    ),
    ready AS MATERIALIZED (
      SELECT id
      FROM generations g
      WHERE id = ANY (${generationIds}::text[])
        AND status = 'queued'
        AND admitted_at IS NOT NULL
        AND attempt = 1
        AND NOT ${isClosed(upstream)}
        AND NOT EXISTS (
          SELECT 1
          FROM projects
          WHERE projects.id = g.project_id AND paused_at IS NOT NULL
        )
        AND NOT ${BEING_CANCELLED}
      ORDER BY id
      FOR UPDATE OF g SKIP LOCKED
    ),
    intent AS (
      INSERT INTO submissions (id, generation_id, upstream, attempt, started_at, lease_until)
      SELECT (SELECT ids FROM given) ->> id, id, ${upstream}, 1, clock_timestamp(),
        clock_timestamp() + ${leaseMs} * interval '1 ms'
      FROM ready
      RETURNING generation_id
    )`
  const set = begun(Prisma.sql`(SELECT ids FROM given) ->> g.id`, upstream, leaseMs)
  const extraColumns = Prisma.sql`
    current_submission_id AS "submissionId", model, prompt, size, seconds,
    input_reference AS "inputReference",
    (SELECT count(*)::int FROM submissions s WHERE s.generation_id = g.id) AS "submissionsBefore",
    ${isAfterTrouble(upstream)} AS "isAfterFailure"`
  const which = Prisma.sql`id IN (SELECT generation_id FROM intent)`
  const { rows, preparedAtMs } = await transact(database, async (tx) => ({
    rows: await moveGenerations<Beginning>(tx, which, 'submit', { ctes, set, extraColumns }),
    preparedAtMs: performance.now(),
  }))
  return new Map(
    rows.map(
      ({ id, submissionId, submissionsBefore, isAfterFailure, model, prompt, size, seconds, inputReference }) => {
        const request = { model, prompt, size, seconds, inputReference }
        return [id, { submissionId, number: submissionsBefore + 1, request, isAfterFailure, preparedAtMs }]
      },
    ),
  )
}

/**
 * The columns of a generation whose submission begins. `due_at` is one second past the lease, so that reconcile then
 * finds the lease expired.
 */
function begun(submissionId: Prisma.Sql, upstream: string, leaseMs: number): Prisma.Sql {
  return Prisma.sql`
    current_submission_id = ${submissionId}, upstream = ${upstream}, upstream_task_id = NULL,
    submitted_at = NULL, due_at = clock_timestamp() + ${leaseMs + 1_000} * interval '1 ms'`
}

/**
 * Commits the intent to submit, if the generation still needs a submission.
 * @param leaseMs without an outcome after this time the submission counts as unknown
 * @param askedTaskIds tasks of previous attempts that the caller has asked about without success
 * @throws UncertainCommit when the intent may have been committed: no request may be sent (settleUnsent)
 */
export async function beginSubmission(
  database: Database,
  { generationId, submissionId }: BeginRequest,
  upstream: string,
  leaseMs: number,
  askedTaskIds: readonly string[] = [],
): Promise<BeginResult> {
  return await withRetry(() =>
    transact(database, async (tx) => {
      const [generation] = await tx.$queryRaw<LockedGeneration[]>(sql.named('readGateForSubmission')`
        SELECT ${isAfterTrouble(upstream)} AS "isAfterFailure",
          ${gateOpensMs(upstream)} AS "gateOpensMs",
          ${isClosed(upstream)}
            OR ${BEING_CANCELLED}
            OR EXISTS (
              SELECT 1
              FROM projects
              WHERE projects.id = g.project_id AND paused_at IS NOT NULL
            ) AS "isHeld",
          model, prompt, size, seconds, input_reference AS "inputReference",
          (
            SELECT count(*)::int
            FROM submissions s
            WHERE s.generation_id = g.id AND s.attempt = g.attempt
          ) AS submissions
        FROM generations g
        WHERE id = ${generationId}
        FOR UPDATE`)
      const [snapshot] = generation ? await readSnapshots(tx, [generationId]) : []
      if (!generation || !snapshot) return { kind: 'moved_on' }
      const { submissions, isHeld } = generation
      const decided = beginning(snapshot, { isHeld, askedTaskIds })
      if (decided.kind === 'held') return await hold(tx, snapshot, generation)
      if (decided.kind === 'ask_first') {
        // Keeps other workers away during the question to the provider.
        await tx.$executeRaw(sql.named('leaseGeneration')`
          UPDATE generations
          SET due_at = clock_timestamp() + ${leaseMs} * interval '1 ms'
          WHERE id = ${generationId}`)
      }
      if (decided.kind !== 'begin') return decided

      // clock_timestamp: the transaction may have waited for the lock, and the lease begins now.
      await tx.$executeRaw(sql.named('insertSubmission')`
        INSERT INTO submissions (id, generation_id, upstream, attempt, started_at, lease_until)
        VALUES (
          ${submissionId}, ${generationId}, ${upstream}, ${snapshot.attempt}, clock_timestamp(),
          clock_timestamp() + ${leaseMs} * interval '1 ms'
        )`)
      const set = begun(Prisma.sql`${submissionId}`, upstream, leaseMs)
      if (snapshot.status === 'queued') await moveGenerations(tx, [generationId], 'submit', { set })
      else await tx.$executeRaw(sql.named('setIntent')`UPDATE generations SET ${set} WHERE id = ${generationId}`)
      const { model, prompt, size, seconds, inputReference, isAfterFailure } = generation
      const request = { model, prompt, size, seconds, inputReference }
      const intent = { submissionId, number: submissions + 1, request, isAfterFailure, preparedAtMs: performance.now() }
      return { kind: 'begun', intent }
    }),
  )
}

/** A queued generation waits for admission again; a resubmission looks at the gate again after a while. */
async function hold(tx: Sql, { id, status }: Snapshot, { gateOpensMs }: LockedGeneration): Promise<BeginResult> {
  const isResubmission = status === 'submitting'
  const waitMs = Math.min(Math.max(gateOpensMs ?? HELD_MS, HELD_MIN_MS), HELD_MS)
  await tx.$executeRaw(sql.named('holdGeneration')`
    UPDATE generations
    SET wakes = wakes + 1, admitted_at = CASE WHEN ${isResubmission} THEN admitted_at END,
      due_at = CASE WHEN ${isResubmission} THEN now() + ${waitMs} * interval '1 ms' END
    WHERE id = ${id}`)
  return isResubmission ? { kind: 'wait', waitMs } : { kind: 'held' }
}
