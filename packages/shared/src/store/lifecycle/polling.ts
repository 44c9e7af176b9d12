// Reads and writes of the pollers: claims of due generations, and one statement for the answers of a round.

import type { FailureCode } from '@reelqueue/contract/terms/failure'
import { FAILURES } from '@reelqueue/contract/terms/failure'
import type { RenderProfile } from '../../domain/batch-estimate.ts'
import type { LastPoll } from '../../domain/kept-reply.ts'
import type { TerminalAnswer } from '../../domain/terminal-answer.ts'
import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable, withoutUnstorable } from '../unstorable-search.ts'
import { type Moved, moveGenerations } from './moves.ts'

export interface DuePoll extends RenderProfile {
  readonly id: string
  readonly upstreamTaskId: string
  /** `failed`: past the deadline, still polled for a late success. */
  readonly status: 'processing' | 'failed'
  /** Since the submission began; for an adopted task, since the adoption. */
  readonly elapsedMs: number
  readonly pollFailures: number
  readonly dispatchCount: number
  /** The task was adopted by hand. */
  readonly isAdopted: boolean
}

/**
 * Claims up to `limit` due generations, the longest overdue first. `due_at` becomes the end of the lease: if this
 * process dies, a poller finds the generations then.
 */
export async function claimDuePolls(database: Database, limit: number, leaseMs: number): Promise<DuePoll[]> {
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE due_at <= now()
      AND due_at IS NOT NULL
      AND status IN ('processing', 'failed')
      AND answer IS NULL
      AND ${isStorable('generations.id')} ${among}
    ORDER BY due_at
    LIMIT ${limit}
    FOR UPDATE SKIP LOCKED`
  return await claimStorable(
    database,
    'claim',
    pick,
    // With ANY (ARRAY(…)) a prepared statement still uses the index on due_at; with IN (…) maybe not.
    (picked) =>
      database.prisma.$queryRaw<DuePoll[]>(sql.named('claimDuePolls')`
        UPDATE generations
        SET due_at = now() + ${leaseMs} * interval '1 ms'
        WHERE id = ANY (ARRAY(${picked}))
        RETURNING id, upstream_task_id AS "upstreamTaskId", status::text, model, seconds, size,
          poll_failures AS "pollFailures", wakes AS "dispatchCount",
          EXISTS (
            SELECT 1
            FROM submissions s
            WHERE s.id = current_submission_id AND s.adopted_at IS NOT NULL
          ) AS "isAdopted",
          extract(epoch FROM now() - submitted_at)::float8 * 1000 AS "elapsedMs"`),
  )
}

/** Whether a poll of any generation is due within `ms`. */
export async function isPollDueWithin({ prisma }: Database, ms: number): Promise<boolean> {
  const by = Prisma.sql`now() + ${ms} * interval '1 ms'`
  const rows = await prisma.$queryRaw<unknown[]>(sql.named('isPollDueWithin')`
    SELECT 1
    FROM generations
    WHERE due_at <= ${by}
      AND due_at IS NOT NULL
      AND status IN ('processing', 'failed')
      AND answer IS NULL
      AND ${isStorable('generations.id', by)}
    ORDER BY due_at
    LIMIT 1`)
  return rows.length > 0
}

/** Returns claimed generations that were not polled. Any poller finds the generations at once. */
export async function releasePolls(database: Database, ids: readonly string[]): Promise<void> {
  const rows = ids.map((id) => ({ id }))
  await withoutUnstorable(database, 'claim', rows, (some) =>
    database.prisma.$queryRaw<unknown[]>(sql.named('releasePolls')`
      UPDATE generations
      SET due_at = now()
      WHERE id = ANY (
          ARRAY(
            SELECT id
            FROM generations
            WHERE id = ANY (${some.map((row) => row.id)}::text[])
            ORDER BY id
            FOR UPDATE
          )
        )
        AND status IN ('processing', 'failed')
        AND answer IS NULL
        AND due_at > now()
      RETURNING 1`),
  )
}

/** The row as it was claimed: the fencing condition for the writes after a poll. */
export interface Seen {
  readonly id: string
  /** The polled task. The answer changes nothing after the row has moved to another task. */
  readonly upstreamTaskId: string
  /**
   * The dispatch count of the claim. After an answer, a retry or an adoption the row has another count, even with the
   * same task.
   */
  readonly dispatchCount: number
}

/**
 * SQL condition: the row is still as it was claimed. A late poller must change neither a row with an answer nor a later
 * attempt.
 */
export const asSeen = (polls: readonly Seen[]) => Prisma.sql`
  (g.id, g.upstream_task_id, g.wakes) IN (
    SELECT *
    FROM unnest(
      ${polls.map((one) => one.id)}::text[], ${polls.map((one) => one.upstreamTaskId)}::text[],
      ${polls.map((one) => one.dispatchCount)}::int[]
    )
  )
  -- Else Postgres, which expects few of them, joins each with each.
  IS TRUE`

/** The outcome of one poll for its row. */
export interface PollRecord extends Seen {
  /** Delay until the row is due again; null: no further poll. */
  readonly nextMs: number | null
  /** The provider reported an unfinished task. */
  readonly sawPending: boolean
  readonly pollFailures: number
  readonly answer: TerminalAnswer | null
  /** The answer, unless it was "still rendering" or terminal. */
  readonly lastPoll?: LastPoll
}

/** Writes the answers of one round. A terminal answer is stored on the row, due at once for the complete step. */
export async function recordPolls(database: Database, polls: readonly PollRecord[]): Promise<void> {
  await withoutUnstorable(database, 'record', polls, async (some) => {
    await withRetry(() => record(database, some))
    return []
  })
}

async function record({ prisma }: Database, polls: readonly PollRecord[]): Promise<void> {
  await prisma.$executeRaw(sql.named('recordPolls')`
    UPDATE generations g
    SET due_at = CASE
        WHEN poll.answer IS NOT NULL THEN now()
        ELSE now() + poll.next_ms * interval '1 ms'
      END,
      last_pending_at = CASE WHEN poll.saw_pending THEN now() ELSE g.last_pending_at END,
      poll_failures = poll.failures, answer = poll.answer, last_poll = poll.last_poll,
      -- The wake-up that follows needs a job id of its own.
      wakes = g.wakes + (poll.answer IS NOT NULL)::int
    FROM unnest(
      ${polls.map((poll) => poll.id)}::text[], ${polls.map((poll) => poll.upstreamTaskId)}::text[],
      ${polls.map((poll) => poll.dispatchCount)}::int[],
      ${polls.map((poll) => poll.nextMs)}::float8[],
      ${polls.map((poll) => poll.sawPending)}::boolean[],
      ${polls.map((poll) => poll.pollFailures)}::int[],
      ${polls.map((poll) => (poll.answer ? JSON.stringify(poll.answer) : null))}::jsonb[],
      ${polls.map((poll) => (poll.lastPoll ? JSON.stringify(poll.lastPoll) : null))}::jsonb[]
    ) AS poll (id, task_id, wakes, next_ms, saw_pending, failures, answer, last_poll)
    WHERE g.id = ANY (
        ARRAY(
          SELECT id
          FROM generations
          WHERE id = ANY (${polls.map((poll) => poll.id)}::text[])
          ORDER BY id
          FOR UPDATE
        )
      )
      AND g.id = poll.id
      AND g.upstream_task_id = poll.task_id
      AND g.wakes = poll.wakes
      AND g.status IN ('processing', 'failed')
      AND g.due_at IS NOT NULL`)
}

/**
 * Fails generations past their deadline. `recordPolls` sets the next `due_at`, because a late success still counts. The
 * generations keep their slots for `renderMaxMs`, because the provider may still be rendering.
 */
export async function failOverdue(
  database: Database,
  overdue: readonly Overdue[],
  code: FailureCode,
  renderMaxMs: number,
): Promise<Moved[]> {
  return await withoutUnstorable(database, 'end', overdue, (some) => {
    return withRetry(() => fail(database, some, code, renderMaxMs))
  })
}

type Overdue = Seen & Pick<PollRecord, 'lastPoll'>

async function fail(
  { prisma }: Database,
  overdue: readonly Overdue[],
  code: FailureCode,
  renderMaxMs: number,
): Promise<Moved[]> {
  const ids = overdue.map((one) => one.id)
  const messages = JSON.stringify(
    Object.fromEntries(overdue.map((one) => [one.id, overdueMessage(code, one.lastPoll)])),
  )
  const set = Prisma.sql`
    error_code = ${code}, error_message = ${messages}::jsonb ->> g.id,
    slot_until = greatest(g.slot_until, now() + ${renderMaxMs} * interval '1 ms')`
  const guard = Prisma.sql`g.status = 'processing' AND ${asSeen(overdue)}`
  return await moveGenerations(prisma, ids, 'fail', { set, guard })
}

/** Adds the last poll's answer to the message: the cause may be a changed key, and waiting does not repair a key. */
function overdueMessage(code: FailureCode, last: LastPoll | undefined): string {
  if (last === undefined) return FAILURES[code]
  const times = last.failures > 1 ? `, the last of ${last.failures} in a row without a usable answer` : ''
  const answer = last.http_status === null ? last.code : `HTTP ${last.http_status} (${last.code})`
  return `${FAILURES[code]} The last answer to a poll was ${answer}${times}: ${last.message}`
}
