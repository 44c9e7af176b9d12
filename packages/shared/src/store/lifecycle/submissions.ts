// The ledger of paid acts, before the act: the intent is committed before the POST. settlement.ts records the outcome.

import type { Status } from '@reelqueue/contract/terms/status'
import type { RenderRequest } from '../../domain/render-request.ts'
import { AFTER_TROUBLE, GATE_OPENS_MS, SUBMITTING_PAUSED } from '../admission/submitting-gate.ts'
import { type Database, type Sql, transact, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { BEING_CANCELLED } from './batch-changes.ts'
import { REMEMBERED_TASKS } from './former-tasks.ts'
import { moveGenerations } from './moves.ts'

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
  readonly isAfterSilence: boolean
  /** `performance.now()` just before the commit. The lease began only slightly earlier. */
  readonly preparedAtMs: number
}

export type BeginResult =
  | { readonly kind: 'begun'; readonly intent: Intent }
  /** Nothing to submit: the generation is cancelled, done, or not admitted. */
  | { readonly kind: 'moved_on' }
  /** A submission is under way, or its back-off is not over. Another look is useful after `waitMs`. */
  | { readonly kind: 'wait'; readonly waitMs: number }
  /**
   * Nothing is submitted now (submitting-gate.ts), or the batch is being cancelled. The generation waits again, without
   * a slot.
   */
  | { readonly kind: 'held' }
  /** The lease of the open submission ended without an outcome. The caller settles the submission as unknown. */
  | { readonly kind: 'expired'; readonly submissionId: string }
  /**
   * A retry of a generation with a task that the provider had accepted. The caller asks about the task before another
   * payment.
   */
  | { readonly kind: 'ask_first'; readonly taskId: string }

interface LockedGeneration extends RenderRequest {
  readonly status: Status
  readonly admitted: boolean
  readonly isPaused: boolean
  /** Milliseconds until the wait requested by the provider is over; null when another cause holds the generation. */
  readonly gateOpensMs: number | null
  readonly isAfterSilence: boolean
  readonly attempt: number
  /** Submissions of this attempt. */
  readonly submissions: number
  /**
   * The latest task of the previous attempts that is not in `askedTaskIds`, as long as the provider remembers the task.
   */
  readonly formerTaskId: string | null
}

interface CurrentSubmission {
  readonly id: string
  readonly state: 'started' | 'accepted' | 'rejected' | 'unknown'
  /** Milliseconds until the lease or the back-off ends; null when neither applies. */
  readonly waitMs: number | null
}

interface Beginning extends RenderRequest {
  readonly submissionId: string
  readonly submissionsBefore: number
  readonly isAfterSilence: boolean
}

/** One caller's request to submit. */
export interface BeginWish {
  readonly generationId: string
  /** Unique to this request. With this id the caller finds the intent when the answer to its COMMIT is lost. */
  readonly submissionId: string
}

/**
 * Commits the intents of the generations that still need a submission, in one statement. The results are in the order
 * of `wishes`: null when the generation needs a closer look or another transaction locks the row.
 * @param leaseMs without an outcome after this time the submission counts as unknown
 * @throws UncertainCommit when the intents may have been committed: no request may be sent (settleUnsent)
 */
export async function beginSubmissions(
  database: Database,
  wishes: readonly BeginWish[],
  upstream: string,
  leaseMs: number,
): Promise<(BeginResult | null)[]> {
  const begun = await withRetry(() => beginOrdinary(database, wishes, upstream, leaseMs))
  return wishes.map(({ generationId, submissionId }) => {
    const intent = begun.get(generationId)
    // INVARIANT: an intent belongs to one caller.
    return intent?.submissionId === submissionId ? { kind: 'begun', intent } : null
  })
}

/** Begins the first submission of admitted generations that nothing holds back. @returns the intents by generation */
async function beginOrdinary(
  database: Database,
  wishes: readonly BeginWish[],
  upstream: string,
  leaseMs: number,
): Promise<Map<string, Intent>> {
  const generationIds = wishes.map((wish) => wish.generationId)
  // Looked up by id: a join would compare every row with every request.
  const submissionIds = JSON.stringify(
    Object.fromEntries(wishes.map(({ generationId, submissionId }) => [generationId, submissionId])),
  )
  const first = Prisma.sql`given AS (SELECT ${submissionIds}::jsonb AS ids), ready AS MATERIALIZED (
      SELECT id FROM generations g
      WHERE id = ANY (${generationIds}::text[]) AND status = 'queued' AND admitted_at IS NOT NULL AND attempt = 1
        AND NOT ${SUBMITTING_PAUSED}
        AND NOT EXISTS (SELECT 1 FROM projects WHERE projects.id = g.project_id AND paused_at IS NOT NULL)
        AND NOT ${BEING_CANCELLED}
      ORDER BY id FOR UPDATE OF g SKIP LOCKED
    ), intent AS (
      INSERT INTO submissions (id, generation_id, upstream, attempt, started_at, lease_until)
      SELECT (SELECT ids FROM given) ->> id, id, ${upstream}, 1, clock_timestamp(), clock_timestamp() + ${leaseMs} * interval '1 ms'
      FROM ready
      RETURNING generation_id
    )`
  const set = begun(Prisma.sql`(SELECT ids FROM given) ->> g.id`, upstream, leaseMs)
  const told = Prisma.sql`current_submission_id AS "submissionId", model, prompt, size, seconds, input_reference AS "inputReference",
    (SELECT count(*)::int FROM submissions s WHERE s.generation_id = g.id) AS "submissionsBefore",
    ${AFTER_TROUBLE} AS "isAfterSilence"`
  const which = Prisma.sql`id IN (SELECT generation_id FROM intent)`
  const { rows, preparedAtMs } = await transact(database, async (tx) => ({
    rows: await moveGenerations<Beginning>(tx, which, 'submit', { first, set, told }),
    preparedAtMs: performance.now(),
  }))
  return new Map(
    rows.map(
      ({ id, submissionId, submissionsBefore, isAfterSilence, model, prompt, size, seconds, inputReference }) => {
        const request = { model, prompt, size, seconds, inputReference }
        return [id, { submissionId, number: submissionsBefore + 1, request, isAfterSilence, preparedAtMs }]
      },
    ),
  )
}

/**
 * The columns of a generation whose submission begins. `due_at` is one second past the lease, so that reconcile then
 * finds the lease expired.
 */
function begun(submissionId: Prisma.Sql, upstream: string, leaseMs: number): Prisma.Sql {
  return Prisma.sql`current_submission_id = ${submissionId}, upstream = ${upstream}, upstream_task_id = NULL,
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
  { generationId, submissionId }: BeginWish,
  upstream: string,
  leaseMs: number,
  askedTaskIds: readonly string[] = [],
): Promise<BeginResult> {
  return await withRetry(() =>
    transact(database, async (tx) => {
      const [generation] = await tx.$queryRaw<LockedGeneration[]>`
        SELECT status::text, admitted_at IS NOT NULL AS admitted, attempt,
          ${SUBMITTING_PAUSED} OR EXISTS (SELECT 1 FROM projects WHERE projects.id = g.project_id AND paused_at IS NOT NULL)
            OR ${BEING_CANCELLED} AS "isPaused",
          ${AFTER_TROUBLE} AS "isAfterSilence",
          ${GATE_OPENS_MS} AS "gateOpensMs", model, prompt, size, seconds,
          input_reference AS "inputReference",
          (SELECT count(*)::int FROM submissions s WHERE s.generation_id = g.id AND s.attempt = g.attempt) AS submissions,
          (SELECT upstream_task_id FROM submissions s
            WHERE s.attempt < g.attempt AND s.upstream_task_id <> ALL (${askedTaskIds}::text[]) AND ${REMEMBERED_TASKS} LIMIT 1) AS "formerTaskId"
        FROM generations g WHERE id = ${generationId} FOR UPDATE`
      if (!generation) return { kind: 'moved_on' }
      if (generation.status === 'submitting') {
        const blocked = await blockedBy(tx, generationId)
        if (blocked) return blocked
      } else if (generation.status !== 'queued' || !generation.admitted) {
        return { kind: 'moved_on' }
      }
      if (generation.isPaused) {
        const waitMs = Math.min(Math.max(generation.gateOpensMs ?? HELD_MS, HELD_MIN_MS), HELD_MS)
        await tx.$executeRaw`
          UPDATE generations SET wakes = wakes + 1, admitted_at = CASE WHEN status = 'submitting' THEN admitted_at END,
            due_at = CASE WHEN status = 'submitting' THEN now() + ${waitMs} * interval '1 ms' END
          WHERE id = ${generationId}`
        return generation.status === 'submitting' ? { kind: 'wait', waitMs } : { kind: 'held' }
      }
      const { formerTaskId, attempt, submissions } = generation
      if (formerTaskId !== null) {
        // Keeps other workers away during the question to the provider.
        await tx.$executeRaw`
          UPDATE generations SET due_at = clock_timestamp() + ${leaseMs} * interval '1 ms' WHERE id = ${generationId}`
        return { kind: 'ask_first', taskId: formerTaskId }
      }

      // clock_timestamp: the transaction may have waited for the lock, and the lease begins now.
      await tx.$executeRaw`
        INSERT INTO submissions (id, generation_id, upstream, attempt, started_at, lease_until)
        VALUES (${submissionId}, ${generationId}, ${upstream}, ${attempt}, clock_timestamp(),
          clock_timestamp() + ${leaseMs} * interval '1 ms')`
      const set = begun(Prisma.sql`${submissionId}`, upstream, leaseMs)
      if (generation.status === 'queued') await moveGenerations(tx, [generationId], 'submit', { set })
      else await tx.$executeRaw`UPDATE generations SET ${set} WHERE id = ${generationId}`
      const { model, prompt, size, seconds, inputReference, isAfterSilence } = generation
      const request = { model, prompt, size, seconds, inputReference }
      const intent = { submissionId, number: submissions + 1, request, isAfterSilence, preparedAtMs: performance.now() }
      return { kind: 'begun', intent }
    }),
  )
}

/** The reason why a `submitting` generation must not be submitted now, or null. The row is locked. */
async function blockedBy(tx: Sql, generationId: string): Promise<BeginResult | null> {
  const [current] = await tx.$queryRaw<CurrentSubmission[]>`
    SELECT s.id, s.state::text,
      ceil(extract(epoch FROM CASE s.state WHEN 'started' THEN s.lease_until ELSE s.retry_at END - clock_timestamp()) * 1000)::float8 AS "waitMs"
    FROM submissions s JOIN generations g ON g.current_submission_id = s.id WHERE g.id = ${generationId}`
  if (!current) return null
  if ((current.waitMs ?? 0) > 0) return { kind: 'wait', waitMs: current.waitMs ?? 0 }
  return current.state === 'started' ? { kind: 'expired', submissionId: current.id } : null
}
