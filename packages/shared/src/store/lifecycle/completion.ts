// The end of a rendered generation: status, video, expiry, event and deliveries in one statement.

import type { Status } from '@reelqueue/contract/terms/status'
import type { TerminalAnswer } from '../../domain/terminal-answer.ts'
import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { withoutUnstorable } from '../unstorable-search.ts'
import { askAboutOtherTask, markRenderFailed } from './former-tasks.ts'
import { type Moved, moveGenerations } from './moves.ts'
import { asSeen, type Seen } from './polling.ts'

/** How long a link works when the answer does not state a life: an earlier version stored such an answer. */
const LINK_LIFE_MS = 24 * 3_600_000

interface Answered {
  readonly status: Status
  readonly answer: TerminalAnswer
  readonly currentSubmissionId: string | null
}

/**
 * The columns set by a successful answer. The expiry counts from the last poll that saw the task unfinished, so it is
 * never later than the truth. An earlier expiry in the answer wins.
 */
const completedBy = (answer: Prisma.Sql) => Prisma.sql`(video_url, actual_duration, cost, video_url_expires_at) = (
    SELECT answer ->> 'videoUrl', (answer ->> 'actualDuration')::float8, nullif(answer -> 'cost', 'null'),
      least(coalesce(g.last_pending_at, g.submitted_at)
        + coalesce((answer ->> 'linkLifeMs')::float8, ${LINK_LIFE_MS}::float8) * interval '1 ms', (answer ->> 'expiresAt')::timestamptz)
    FROM (SELECT ${answer}) AS its (answer)),
  error_code = NULL, error_message = NULL, answer = NULL, last_poll = NULL, due_at = NULL`
const COMPLETED = completedBy(Prisma.sql`g.answer`)

/** A poll of a completed task. */
export interface SeenCompleted extends Seen {
  readonly answer: TerminalAnswer
}

/**
 * Completes generations straight from poll answers, in one statement. The answers are not written to the rows first. A
 * poller that lost its claim changes nothing.
 */
export async function completeSeen(database: Database, polls: readonly SeenCompleted[]): Promise<Moved[]> {
  return await withoutUnstorable(database, 'end', polls, (some) => withRetry(() => complete(database, some)))
}

async function complete({ prisma }: Database, polls: readonly SeenCompleted[]): Promise<Moved[]> {
  const ids = polls.map((poll) => poll.id)
  // Looked up by id: a join would compare every row with every answer.
  const answers = JSON.stringify(Object.fromEntries(polls.map((poll) => [poll.id, poll.answer])))
  const set = completedBy(Prisma.sql`${answers}::jsonb -> g.id`)
  return await moveGenerations(prisma, ids, 'complete', { set, guard: asSeen(polls) })
}

/**
 * Completes the generations with a stored success, in one statement. The results are in the order of `ids`: null when
 * no success is stored on the row.
 */
export async function completeGenerations({ prisma }: Database, ids: readonly string[]): Promise<(Moved[] | null)[]> {
  const guard = Prisma.sql`g.answer ->> 'kind' = 'completed'`
  const completed = await withRetry(() => moveGenerations(prisma, ids, 'complete', { set: COMPLETED, guard }))
  const byId = new Map(completed.map((move) => [move.id, [move]]))
  return ids.map((id) => byId.get(id) ?? null)
}

/** Carries out the terminal answer stored on the row; does nothing without a stored answer. */
export async function completeGeneration({ prisma }: Database, id: string): Promise<Moved[]> {
  const row = await answered(prisma, id)
  if (!row) return []
  // A success is one statement. A failure has more consequences, so it needs a transaction.
  return row.answer.kind === 'completed'
    ? await carryOut(prisma, id, row)
    : await prisma.$transaction((tx) => carryOut(tx, id, row))
}

/** Like `completeGeneration`, as part of a transaction. */
export async function completeWithin(tx: Sql, id: string): Promise<Moved[]> {
  const row = await answered(tx, id)
  return row ? await carryOut(tx, id, row) : []
}

async function answered(sql: Sql, id: string): Promise<Answered | null> {
  const [row] = await sql.$queryRaw<Answered[]>`
    SELECT status::text, answer, current_submission_id AS "currentSubmissionId" FROM generations
    WHERE id = ${id} AND answer IS NOT NULL`
  return row ?? null
}

/**
 * INVARIANT: an answer ends only the attempt of its task. A row that was retried or adopted after it was read stays
 * unchanged.
 */
async function carryOut(sql: Sql, id: string, { status, answer, currentSubmissionId }: Answered): Promise<Moved[]> {
  const guard = Prisma.sql`g.answer IS NOT NULL AND g.current_submission_id = ${currentSubmissionId}`

  if (answer.kind === 'completed') {
    // After a deadline the slot was kept for this very render. Otherwise the slot is kept for another render.
    if (status === 'failed')
      return await moveGenerations(sql, [id], 'completeLate', {
        set: Prisma.sql`${COMPLETED}, slot_until = NULL`,
        guard,
      })
    return await moveGenerations(sql, [id], 'complete', { set: COMPLETED, guard })
  }

  if (status === 'failed') {
    // The generation had failed already, and the provider confirms the failure: there is no second event.
    const updated = await sql.$executeRaw`
      UPDATE generations g SET answer = NULL, due_at = NULL, slot_until = NULL WHERE id = ${id} AND status = 'failed' AND ${guard}`
    if (updated > 0) await leaveTask(sql, id)
    return []
  }
  const set = Prisma.sql`error_code = ${answer.code}, error_message = ${answer.message}, cost = nullif(g.answer -> 'cost', 'null'),
    answer = NULL, due_at = NULL`
  const moved = await moveGenerations(sql, [id], 'fail', {
    set,
    guard: Prisma.sql`g.status = 'processing' AND ${guard}`,
  })
  if (moved.length > 0) await leaveTask(sql, id)
  return moved
}

/** Notes that the current task has failed, and has another task of the generation polled instead. */
async function leaveTask(sql: Sql, id: string): Promise<void> {
  await markRenderFailed(sql, id)
  await askAboutOtherTask(sql, id)
}
