// The ledger of paid acts, after the act. Every outcome is recorded, however late. The status of the generation only
// limits the consequences for the generation.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import { newId } from '@reelqueue/contract/terms/ids'
import { MOVES, type Status } from '@reelqueue/contract/terms/status'
import type { KeptReply } from '../../domain/kept-reply.ts'
import { type Consequence, consequenceOf, SUBMIT_RETRY_MAX_MS } from '../../domain/submission.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { askAboutOtherTask, REMEMBERED_TASKS } from './former-tasks.ts'
import { type Moved, moveGenerations } from './moves.ts'
import { findTaskHolder, reclaimTask } from './reclaim.ts'
import { countRefusal, type GateRefusal } from './refusals.ts'
import type { BeginWish } from './submissions.ts'

/** The outcome of a submission, as the ledger records it. `reply`: the provider's answer, if there was an answer. */
export type SubmissionResult = SubmissionEnd & { readonly reply?: KeptReply | null }

export type SubmissionEnd =
  | { readonly kind: 'accepted'; readonly taskId: string }
  | {
      readonly kind: 'rejected'
      readonly code: string
      readonly message: string
      readonly httpStatus: number | null
      readonly retryable: boolean
      /** Set when the refusal may concern all submissions, not only this generation. */
      readonly refusal?: GateRefusal
      /** Back-off before the next submission. Ignored unless `retryable`. */
      readonly backoffMs: number
    }
  | { readonly kind: 'unknown'; readonly code: string; readonly message: string; readonly httpStatus: number | null }

export interface SettleOptions {
  /** Delay before the first poll. */
  readonly firstPollMs: number
  /**
   * The longest plausible render time. A generation that was cancelled during its render keeps its slot for this long.
   */
  readonly renderMaxMs: number
}

export interface Settled {
  /** The new status of the generation; `unchanged` when the generation had moved on without this submission. */
  readonly status: Status | 'unchanged'
  readonly moved: readonly Moved[]
  /** The refusal closed the gate, or closed the gate again. */
  readonly isGateClosed?: boolean
  /** The provider named the task of another submission, so this submission is recorded as unknown. */
  readonly isDuplicate?: boolean
}

/**
 * Records the outcome of a submission and its consequences, in one transaction.
 * INVARIANT: a task id is recorded whatever the status of the generation. The first outcome is never overwritten, with
 * one exception: a late `accepted` corrects `unknown`. A task belongs to the submission that was answered with the
 * task. When another generation has adopted the task by hand, the task is taken away there, and the result contains the
 * moves of that generation too.
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
    // Another submission recorded the same task at the same moment. The second run sees the other row.
    return await settle(database, submissionId, result, options)
  }
}

/** An accepted submission: the ordinary outcome. */
export interface Acceptance extends SettleOptions {
  readonly submissionId: string
  readonly taskId: string
  readonly reply?: KeptReply | null
}

/**
 * Records several acceptances in one statement. The results are in the order of `acceptances`. A result is null when
 * the acceptance is not ordinary (cancel requested, submission not current, outcome already recorded) or another
 * transaction locks the row.
 */
export async function settleAccepted(
  database: Database,
  acceptances: readonly Acceptance[],
): Promise<(Settled | null)[]> {
  const accepted = await withRetry(() => acceptOrdinary(database, acceptances))
  return acceptances.map(({ submissionId }) => {
    const moved = accepted.get(submissionId)
    return moved ? { status: MOVES.accept.to, moved: [moved] } : null
  })
}

export async function settleOneAccepted(
  database: Database,
  { submissionId, taskId, reply = null, ...options }: Acceptance,
): Promise<Settled> {
  return await settleSubmission(database, submissionId, { kind: 'accepted', taskId, reply }, options)
}

/** @returns the moves by submission id */
async function acceptOrdinary({ prisma }: Database, acceptances: readonly Acceptance[]): Promise<Map<string, Moved>> {
  const ids = acceptances.map((one) => one.submissionId)
  // Looked up by id: a join would compare every row with every answer.
  const answers = JSON.stringify(Object.fromEntries(acceptances.map((one) => [one.submissionId, one])))
  const answer = (id: string, field: keyof Acceptance) =>
    Prisma.sql`((SELECT answers FROM given) -> ${Prisma.raw(id)} ->> ${Prisma.raw(`'${field}'`)})`
  // Generations are locked before their ledger rows, as everywhere in the store.
  const first = Prisma.sql`given AS (SELECT ${answers}::jsonb AS answers), ordinary AS MATERIALIZED (
      SELECT s.id FROM submissions s JOIN generations g ON g.id = s.generation_id
      WHERE s.id = ANY (${ids}::text[]) AND s.state = 'started' AND g.current_submission_id = s.id AND g.status = 'submitting' AND g.cancel_requested_at IS NULL
      ORDER BY g.id FOR UPDATE OF g SKIP LOCKED
    ), settled AS (
      UPDATE submissions s SET state = 'accepted', upstream_task_id = ${answer('s.id', 'taskId')}, reply = nullif((SELECT answers FROM given) -> s.id -> 'reply', 'null'), settled_at = clock_timestamp()
      WHERE s.id = ANY (ARRAY(SELECT id FROM ordinary)) AND s.state = 'started'
      RETURNING s.generation_id
    )`
  const recorded = Prisma.sql`(SELECT ${answer('s.id', 'taskId')}, s.started_at FROM submissions s WHERE s.id = g.current_submission_id)`
  const set = processing(recorded, Prisma.sql`${answer('g.current_submission_id', 'firstPollMs')}::float8`)
  const which = Prisma.sql`id IN (SELECT generation_id FROM settled)`
  const told = Prisma.sql`current_submission_id AS "submissionId"`
  const moved = await moveGenerations<{ submissionId: string }>(prisma, which, 'accept', { first, set, told })
  return new Map(moved.map(({ submissionId, ...move }) => [submissionId, move]))
}

/**
 * Settles an intent as certainly refused when no request was sent, because the answer to the intent's COMMIT was lost.
 * INVARIANT: only the caller that made the submission id knows that no request was sent.
 * @returns null when the intent was not committed, and never will be
 */
export async function settleUnsent(
  { prisma }: Database,
  { generationId, submissionId }: BeginWish,
  result: SubmissionResult & { readonly kind: 'rejected' },
  options: SettleOptions,
): Promise<Settled | null> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      // The transaction of the intent held this lock. When we get the lock, that transaction has ended.
      await tx.$queryRaw`SELECT 1 FROM generations WHERE id = ${generationId} FOR UPDATE`
      const intents = await tx.$queryRaw<unknown[]>`SELECT 1 FROM submissions WHERE id = ${submissionId}`
      return intents.length === 0 ? null : await settleWithin(tx, submissionId, result, options)
    }),
  )
}

async function settle(
  { prisma }: Database,
  submissionId: string,
  result: SubmissionResult,
  options: SettleOptions,
): Promise<Settled> {
  return await withRetry(() => prisma.$transaction((tx) => settleWithin(tx, submissionId, result, options)))
}

async function settleWithin(
  tx: Sql,
  submissionId: string,
  result: SubmissionResult,
  options: SettleOptions,
): Promise<Settled> {
  // The generation is locked before its ledger row, as in beginSubmission: the opposite order could deadlock.
  const [generation] = await tx.$queryRaw<SettlingGeneration[]>`
        SELECT g.id, g.status::text, g.error_code AS "errorCode", g.on_unknown_submission::text AS policy,
          g.cancel_requested_at IS NOT NULL AS "cancelRequested",
          g.current_submission_id = ${submissionId} AS "isCurrent",
          extract(epoch FROM now() - g.admitted_at)::float8 * 1000 AS "sinceAdmittedMs"
        FROM generations g
        WHERE g.id = (SELECT generation_id FROM submissions WHERE id = ${submissionId}) FOR UPDATE`
  if (!generation) throw new Error(`submission ${submissionId} is not in the ledger`)
  const holder = result.kind === 'accepted' ? await findTaskHolder(tx, submissionId, result.taskId) : null
  if (holder === null || result.kind !== 'accepted')
    return await settleLocked(tx, generation, submissionId, result, options)
  if (!holder.isAdopted || holder.generationId === generation.id) {
    const settled = await settleLocked(tx, generation, submissionId, duplicate(result), options)
    return { ...settled, isDuplicate: !holder.isAdopted }
  }
  const reclaimed = await reclaimTask(tx, holder, result.taskId, options.renderMaxMs)
  const settled = await settleLocked(tx, generation, submissionId, result, options)
  return { ...settled, moved: [...settled.moved, ...reclaimed] }
}

/** A task has only one submission. A second submission with the same task id is recorded as unknown. */
function duplicate({ taskId, reply = null }: SubmissionResult & { readonly kind: 'accepted' }): SubmissionResult {
  const message = `The provider named the task ${taskId}, which belongs to another submission.`
  return { kind: 'unknown', code: 'duplicate_task_id', message, httpStatus: null, reply }
}

/** Records the outcome for a locked generation. No other submission has the task. */
async function settleLocked(
  tx: Sql,
  generation: SettlingGeneration,
  submissionId: string,
  result: SubmissionResult,
  options: SettleOptions,
): Promise<Settled> {
  const isRecorded = await record(tx, submissionId, result)
  const recordedId = isRecorded ? submissionId : await recordBeside(tx, submissionId, result)
  if (recordedId === null) return UNCHANGED
  const isCurrent = isRecorded && generation.isCurrent
  if (!isCurrent || result.kind !== 'accepted') {
    const taskId = await takeSpareTask(tx, generation, recordedId, options)
    if (taskId !== null) return await carryOut(tx, generation, { kind: 'accepted', taskId }, options, KEEP_SLOT)
  }
  const settled = isCurrent ? await carryOut(tx, generation, result, options) : UNCHANGED
  if (settled.status === 'unchanged' && result.kind !== 'rejected') await markCharged(tx, generation.id)
  if (!isCurrent && result.kind === 'accepted') await askAboutOtherTask(tx, generation.id)
  return settled
}

const UNCHANGED: Settled = { status: 'unchanged', moved: [] }

/**
 * When the current submission was rejected or is unknown, an accepted task of another submission becomes the
 * generation's own. The alternative would be another payment or a failure.
 * @param answered the submission whose outcome was just recorded
 * @returns the id of the task, or null when there is no task
 */
async function takeSpareTask(
  tx: Sql,
  { id, status, errorCode, cancelRequested }: SettlingGeneration,
  answered: string,
  { renderMaxMs }: SettleOptions,
): Promise<string | null> {
  if (cancelRequested || (status !== 'queued' && status !== 'submitting' && errorCode !== UNKNOWN.code)) return null
  const [spare] = await tx.$queryRaw<{ taskId: string }[]>`
    UPDATE generations g SET current_submission_id = spare.id,
      -- The one that is left may be rendering as well.
      slot_until = CASE WHEN spare."leftState" = 'unknown' THEN now() + ${renderMaxMs} * interval '1 ms' END
    FROM (
      SELECT s.id, s.upstream_task_id AS "taskId", current.state AS "leftState" FROM submissions s
      JOIN generations g ON g.id = ${id} JOIN submissions current ON current.id = g.current_submission_id
      WHERE s.id <> current.id AND current.state IN ('rejected', 'unknown')
        AND (s.attempt = g.attempt OR s.id = ${answered} OR s.settled_at > current.started_at)
        AND ${REMEMBERED_TASKS} LIMIT 1) spare
    WHERE g.id = ${id} RETURNING spare."taskId"`
  return spare?.taskId ?? null
}

/** Marks a generation that has moved on as possibly charged. No move writes this mark for an older submission. */
async function markCharged(tx: Sql, generationId: string): Promise<void> {
  await tx.$executeRaw`UPDATE generations SET may_be_charged = true WHERE id = ${generationId} AND NOT may_be_charged`
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
      error_code = ${code}, error_message = ${message}, settled_at = clock_timestamp(),
      reply = coalesce(${result.reply ? JSON.stringify(result.reply) : null}::jsonb, reply),
      retry_at = now() + ${retryMs}::float8 * interval '1 ms'
    WHERE id = ${submissionId} AND state = ANY (${overwritable}::text[]::submission_state[])`
  return updated === 1
}

/**
 * Adds a ledger row for the late answer of a submission to which another task was adopted. The render of the late
 * answer has been paid for too.
 * @returns the id of the new row; null when there is nothing to record
 */
async function recordBeside(tx: Sql, submissionId: string, result: SubmissionResult): Promise<string | null> {
  if (result.kind !== 'accepted') return null
  const { taskId } = result
  const [made] = await tx.$queryRaw<{ id: string }[]>`
    INSERT INTO submissions (id, generation_id, upstream, attempt, state, upstream_task_id, started_at, lease_until, settled_at)
    SELECT ${newId('submission')}, generation_id, upstream, attempt, 'accepted', ${taskId}, started_at, lease_until, clock_timestamp()
    FROM submissions WHERE id = ${submissionId} AND upstream_task_id <> ${taskId}
    RETURNING id`
  return made?.id ?? null
}

/** Keeps the slot for a render other than the generation's own. */
const KEEP_SLOT = Prisma.sql`g.slot_until`

const NO_ERROR = { code: null, message: null, httpStatus: null }

async function carryOut(
  tx: Sql,
  generation: SettlingGeneration,
  result: SubmissionResult,
  { firstPollMs, renderMaxMs }: SettleOptions,
  slotUntil = Prisma.sql`NULL`,
): Promise<Settled> {
  const { id, status, errorCode } = generation
  if (result.kind === 'accepted' && (status === 'queued' || errorCode === 'submission_unknown')) {
    // The slot was kept for this very render, unless `slotUntil` keeps the slot for another render. A queued retry
    // takes this task instead of paying again.
    const set = Prisma.sql`${processing(CURRENT, Prisma.sql`${firstPollMs}`)}, slot_until = ${slotUntil}, admitted_at = coalesce(g.admitted_at, now())`
    return { status: MOVES.acceptLate.to, moved: await moveGenerations(tx, [id], 'acceptLate', { set }) }
  }
  if (status !== 'submitting') return UNCHANGED

  // A task that may be rendering keeps its slot, whatever the next status of the generation.
  const rendering =
    result.kind === 'rejected'
      ? Prisma.empty
      : Prisma.sql`, may_be_charged = true, slot_until = now() + ${keptMs(result, renderMaxMs)} * interval '1 ms'`
  const counted =
    result.kind === 'rejected' && result.refusal && !generation.cancelRequested
      ? await countRefusal(tx, id, result.code, result.refusal)
      : NOT_COUNTED
  const { isGateClosed } = counted
  switch (await decide(tx, generation, result, counted.isReleased)) {
    case 'process': {
      const set = processing(CURRENT, Prisma.sql`${firstPollMs}`)
      return { status: MOVES.accept.to, moved: await moveGenerations(tx, [id], 'accept', { set }) }
    }
    case 'cancel': {
      const taskId = result.kind === 'accepted' ? result.taskId : null
      const set = Prisma.sql`upstream_task_id = ${taskId}, due_at = NULL${rendering}`
      return { status: MOVES.cancel.to, moved: await moveGenerations(tx, [id], 'cancel', { set }) }
    }
    case 'submit_again': {
      const delayMs = result.kind === 'rejected' ? result.backoffMs : 0
      await tx.$executeRaw`
        UPDATE generations SET due_at = now() + ${delayMs} * interval '1 ms'${rendering} WHERE id = ${id}`
      return { status: 'submitting', moved: [] }
    }
    case 'release': {
      // A new dispatch count: a job kept from this admission must not swallow the job of the next admission.
      const set = Prisma.sql`admitted_at = NULL, due_at = NULL, wakes = g.wakes + 1`
      return { status: MOVES.release.to, moved: await moveGenerations(tx, [id], 'release', { set }), isGateClosed }
    }
    case 'fail': {
      const { code, message } = result.kind === 'rejected' ? result : UNKNOWN
      const set = Prisma.sql`error_code = ${code}, error_message = ${message}, due_at = NULL${rendering}`
      const moved = await moveGenerations(tx, [id], 'fail', { set })
      if (result.kind === 'rejected') await askAboutOtherTask(tx, id)
      return { status: MOVES.fail.to, moved, isGateClosed }
    }
  }
}

/** How long the slot is kept. A 5xx answer seldom means a started render, so the time is shorter than after silence. */
function keptMs(result: SubmissionResult, renderMaxMs: number): number {
  return result.kind === 'unknown' && (result.httpStatus ?? 0) >= 500 ? renderMaxMs / 3 : renderMaxMs
}

const NOT_COUNTED = { isReleased: false, isGateClosed: false }

const UNKNOWN = { code: 'submission_unknown', message: FAILURES.submission_unknown }

/**
 * The columns of a generation whose current submission was accepted. `recorded`: the ledger's task id and start time.
 */
function processing(recorded: Prisma.Sql, firstPollMs: Prisma.Sql): Prisma.Sql {
  return Prisma.sql`may_be_charged = true, (upstream_task_id, submitted_at) = ${recorded},
    last_pending_at = NULL, poll_failures = 0, last_poll = NULL, error_code = NULL, error_message = NULL,
    due_at = now() + ${firstPollMs} * interval '1 ms'`
}

const CURRENT = Prisma.sql`(SELECT s.upstream_task_id, s.started_at FROM submissions s WHERE s.id = g.current_submission_id)`

async function decide(
  tx: Sql,
  generation: SettlingGeneration,
  result: SubmissionResult,
  isReleased: boolean,
): Promise<Consequence> {
  const [{ unknownCount } = { unknownCount: 0 }] = await tx.$queryRaw<{ unknownCount: number }[]>`
    SELECT count(*)::int AS "unknownCount" FROM submissions s JOIN generations g ON g.id = s.generation_id
    WHERE g.id = ${generation.id} AND s.attempt = g.attempt
      -- One that turned out to be accepted after its resubmission was unknown then, and has been paid for.
      AND (s.state = 'unknown' OR s.state = 'accepted' AND s.id <> g.current_submission_id)`
  return consequenceOf(
    result.kind === 'rejected'
      ? { state: 'rejected', retryable: result.retryable, isReleased }
      : { state: result.kind },
    {
      cancelRequested: generation.cancelRequested,
      policy: generation.policy,
      unknownCount,
      retriesExhausted: generation.sinceAdmittedMs > SUBMIT_RETRY_MAX_MS,
    },
  )
}
