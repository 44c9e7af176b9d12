// The ledger of paid acts. An intent is committed before the POST; its outcome is always recorded, however late,
// and only the generation's own status fences what it may still change.

import { FAILURES } from '../domain/failure.ts'
import { newId } from '../domain/ids.ts'
import type { RenderRequest } from '../domain/render-request.ts'
import { MOVES, type Status } from '../domain/status.ts'
import { consequenceOf, SUBMIT_RETRY_MAX_MS } from '../domain/submission.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from './database.ts'
import { Prisma } from './generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'

/** What the submit step needs to pay for one render. */
export interface Intent {
  readonly submissionId: string
  /** Submissions of this generation so far, this one included. */
  readonly number: number
  readonly request: RenderRequest
}

export type BeginResult =
  | { readonly kind: 'begun'; readonly intent: Intent }
  /** Nothing to submit: cancelled, done, or not admitted. */
  | { readonly kind: 'moved_on' }
  /** A submission is under way, or its back-off is not over. `waitMs` until it is worth another look. */
  | { readonly kind: 'wait'; readonly waitMs: number }
  /** The worker of the open submission fell silent past its lease: settle it as unknown. */
  | { readonly kind: 'expired'; readonly submissionId: string }

interface LockedGeneration extends RenderRequest {
  readonly status: Status
  readonly admitted: boolean
  readonly cancelRequested: boolean
  readonly submissions: number
}

interface CurrentSubmission {
  readonly id: string
  readonly state: 'started' | 'accepted' | 'rejected' | 'unknown'
  /** Until the lease or the back-off ends; null when neither applies. */
  readonly waitMs: number | null
}

/**
 * Commits the intent to submit, if the generation still wants one.
 * @param leaseMs after this long without an outcome the submission is read as unknown
 */
export async function beginSubmission(
  { prisma }: Database,
  generationId: string,
  upstream: string,
  leaseMs: number,
): Promise<BeginResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const [generation] = await tx.$queryRaw<LockedGeneration[]>`
        SELECT status::text, admitted_at IS NOT NULL AS admitted, model, prompt, size, seconds,
          input_reference AS "inputReference", cancel_requested_at IS NOT NULL AS "cancelRequested",
          (SELECT count(*)::int FROM submissions WHERE generation_id = generations.id) AS submissions
        FROM generations WHERE id = ${generationId} FOR UPDATE`
      if (!generation) return { kind: 'moved_on' }
      if (generation.status === 'submitting') {
        const blocked = await blockedBy(tx, generationId)
        if (blocked) return blocked
      } else if (generation.status !== 'queued' || !generation.admitted) {
        return { kind: 'moved_on' }
      }

      const submissionId = newId('submission')
      await tx.$executeRaw`
        INSERT INTO submissions (id, generation_id, upstream, lease_until)
        VALUES (${submissionId}, ${generationId}, ${upstream}, now() + ${leaseMs} * interval '1 ms')`
      // One second past the lease, so that whoever looks then finds it expired.
      const set = Prisma.sql`current_submission_id = ${submissionId}, upstream = ${upstream},
        due_at = now() + ${leaseMs + 1_000} * interval '1 ms'`
      if (generation.status === 'queued') await moveGenerations(tx, [generationId], 'submit', { set })
      else await tx.$executeRaw`UPDATE generations SET ${set} WHERE id = ${generationId}`
      const { model, prompt, size, seconds, inputReference, submissions } = generation
      const request = { model, prompt, size, seconds, inputReference }
      const intent = { submissionId, number: submissions + 1, request }
      return { kind: 'begun', intent }
    }),
  )
}

/** Why a `submitting` generation must not be submitted now, or null when it may. Its row is locked. */
async function blockedBy(tx: Sql, generationId: string): Promise<BeginResult | null> {
  const [current] = await tx.$queryRaw<CurrentSubmission[]>`
    SELECT s.id, s.state::text,
      ceil(extract(epoch FROM CASE s.state WHEN 'started' THEN s.lease_until ELSE s.retry_at END - clock_timestamp()) * 1000)::float8 AS "waitMs"
    FROM submissions s JOIN generations g ON g.current_submission_id = s.id WHERE g.id = ${generationId}`
  if (!current) return null
  if ((current.waitMs ?? 0) > 0) return { kind: 'wait', waitMs: current.waitMs ?? 0 }
  return current.state === 'started' ? { kind: 'expired', submissionId: current.id } : null
}

/** What the ledger records of an answer, or of its absence. */
export type SubmissionResult =
  | { readonly kind: 'accepted'; readonly taskId: string }
  | {
      readonly kind: 'rejected'
      readonly code: string
      readonly message: string
      readonly httpStatus: number | null
      readonly retryable: boolean
      /** Back-off before the next submission; counts only when retryable. */
      readonly backoffMs: number
    }
  | { readonly kind: 'unknown'; readonly code: string; readonly message: string; readonly httpStatus: number | null }

export interface SettleOptions {
  /** Delay before the first poll. */
  readonly firstPollMs: number
  /** How long a render goes on plausibly: a generation cancelled meanwhile keeps its slot for it. */
  readonly renderMaxMs: number
}

export interface Settled {
  /** What became of the generation; `unchanged` when it had moved on without this submission. */
  readonly status: Status | 'unchanged'
  readonly moved: readonly Moved[]
}

/**
 * Records how a submission ended and carries out what follows from it, in one transaction.
 * INVARIANT: a task id is recorded whatever the generation's status is; a first outcome is never overwritten,
 * except that an `accepted` which comes late corrects `unknown`.
 */
export async function settleSubmission(
  database: Database,
  submissionId: string,
  result: SubmissionResult,
  options: SettleOptions,
): Promise<Settled> {
  try {
    return await settle(database, submissionId, result, options)
  } catch (error) {
    if (result.kind !== 'accepted' || !isUniqueViolation(error)) throw error
    const message = `The provider named the task ${result.taskId}, which belongs to another submission.`
    return await settle(
      database,
      submissionId,
      { kind: 'unknown', code: 'duplicate_task_id', message, httpStatus: null },
      options,
    )
  }
}

async function settle(
  { prisma }: Database,
  submissionId: string,
  result: SubmissionResult,
  options: SettleOptions,
): Promise<Settled> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      // The generation is locked before its ledger row, as in beginSubmission: the other order could deadlock.
      const [generation] = await tx.$queryRaw<SettlingGeneration[]>`
        SELECT g.id, g.status::text, g.error_code AS "errorCode", g.on_unknown_submission::text AS policy,
          g.cancel_requested_at IS NOT NULL AS "cancelRequested",
          g.current_submission_id = ${submissionId} AS "isCurrent",
          extract(epoch FROM now() - g.admitted_at)::float8 * 1000 AS "sinceAdmittedMs"
        FROM generations g
        WHERE g.id = (SELECT generation_id FROM submissions WHERE id = ${submissionId}) FOR UPDATE`
      if (!generation) throw new Error(`submission ${submissionId} is not in the ledger`)
      const recorded = await record(tx, submissionId, result)
      if (!recorded || !generation.isCurrent) return { status: 'unchanged', moved: [] }
      return await carryOut(tx, generation, result, options)
    }),
  )
}

interface SettlingGeneration {
  readonly id: string
  readonly status: Status
  readonly errorCode: string | null
  readonly policy: 'fail' | 'resubmit'
  readonly cancelRequested: boolean
  readonly isCurrent: boolean
  readonly sinceAdmittedMs: number
}

async function record(tx: Sql, submissionId: string, result: SubmissionResult): Promise<boolean> {
  const taskId = result.kind === 'accepted' ? result.taskId : null
  const { code, message, httpStatus } = result.kind === 'accepted' ? NO_ERROR : result
  const retryMs = result.kind === 'rejected' && result.retryable ? result.backoffMs : null
  const overwritable = result.kind === 'accepted' ? ['started', 'unknown'] : ['started']
  const updated = await tx.$executeRaw`
    UPDATE submissions
    SET state = ${result.kind}::submission_state, upstream_task_id = ${taskId}, http_status = ${httpStatus},
      error_code = ${code}, error_message = ${message}, settled_at = now(),
      retry_at = now() + ${retryMs}::float8 * interval '1 ms'
    WHERE id = ${submissionId} AND state = ANY (${overwritable}::text[]::submission_state[])`
  return updated === 1
}

const NO_ERROR = { code: null, message: null, httpStatus: null }

async function carryOut(
  tx: Sql,
  generation: SettlingGeneration,
  result: SubmissionResult,
  { firstPollMs, renderMaxMs }: SettleOptions,
): Promise<Settled> {
  const processing = (taskId: string) => Prisma.sql`upstream_task_id = ${taskId}, 
    submitted_at = (SELECT started_at FROM submissions WHERE submissions.id = g.current_submission_id),
    error_code = NULL, error_message = NULL, due_at = now() + ${firstPollMs} * interval '1 ms'`

  if (generation.status === 'failed' && generation.errorCode === 'submission_unknown' && result.kind === 'accepted') {
    const moved = await moveGenerations(tx, [generation.id], 'acceptLate', { set: processing(result.taskId) })
    return { status: MOVES.acceptLate.to, moved }
  }
  if (generation.status !== 'submitting') return { status: 'unchanged', moved: [] }

  const [{ unknownCount } = { unknownCount: 0 }] = await tx.$queryRaw<{ unknownCount: number }[]>`
    SELECT count(*)::int AS "unknownCount" FROM submissions WHERE generation_id = ${generation.id} AND state = 'unknown'`
  const settlement =
    result.kind === 'rejected' ? ({ state: 'rejected', retryable: result.retryable } as const) : { state: result.kind }
  const consequence = consequenceOf(settlement, {
    cancelRequested: generation.cancelRequested,
    policy: generation.policy,
    unknownCount,
    retriesExhausted: generation.sinceAdmittedMs > SUBMIT_RETRY_MAX_MS,
  })

  switch (consequence) {
    case 'process': {
      if (result.kind !== 'accepted') throw new Error('only an accepted submission is processed')
      const moved = await moveGenerations(tx, [generation.id], 'accept', { set: processing(result.taskId) })
      return { status: MOVES.accept.to, moved }
    }
    case 'cancel': {
      const taskId = result.kind === 'accepted' ? result.taskId : null
      // A render that may be under way occupies the provider though nobody waits for it.
      const slotMs = result.kind === 'rejected' ? null : renderMaxMs
      const set = Prisma.sql`upstream_task_id = ${taskId}, due_at = NULL, slot_until = now() + ${slotMs}::float8 * interval '1 ms'`
      return { status: MOVES.cancel.to, moved: await moveGenerations(tx, [generation.id], 'cancel', { set }) }
    }
    case 'submit_again': {
      const delayMs = result.kind === 'rejected' ? result.backoffMs : 0
      await tx.$executeRaw`
        UPDATE generations SET due_at = now() + ${delayMs} * interval '1 ms' WHERE id = ${generation.id}`
      return { status: 'submitting', moved: [] }
    }
    case 'fail': {
      const error =
        result.kind === 'rejected'
          ? { code: result.code, message: result.message }
          : { code: 'submission_unknown', message: FAILURES.submission_unknown }
      const set = Prisma.sql`error_code = ${error.code}, error_message = ${error.message}, due_at = NULL`
      return { status: MOVES.fail.to, moved: await moveGenerations(tx, [generation.id], 'fail', { set }) }
    }
  }
}
