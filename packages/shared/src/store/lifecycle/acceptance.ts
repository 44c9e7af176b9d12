// The ordinary outcome of submissions, for many rows in one statement: accepted, as expected. Every other outcome is decided
// row by row (record-outcome.ts).

import { MOVES } from '@reelqueue/contract/terms/status'
import type { KeptReply } from '../../domain/kept-reply.ts'
import type { RecordOptions } from '../../domain/lifecycle/outcome.ts'
import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'
import { type RecordedOutcome, recordOutcome } from './record-outcome.ts'

/** An accepted submission: the ordinary outcome. */
export interface Acceptance extends RecordOptions {
  readonly submissionId: string
  readonly taskId: string
  readonly reply?: KeptReply | null
}

/**
 * Records several acceptances in one statement. The results are in the order of `acceptances`. A result is null when
 * the acceptance is not ordinary (cancel requested, submission not current, outcome already recorded) or another
 * transaction locks the row.
 */
export async function recordAccepted(
  database: Database,
  acceptances: readonly Acceptance[],
): Promise<(RecordedOutcome | null)[]> {
  const accepted = await withRetry(() => acceptOrdinary(database, acceptances))
  return acceptances.map(({ submissionId }) => {
    const moved = accepted.get(submissionId)
    return moved ? { status: MOVES.accept.to, moved: [moved] } : null
  })
}

export async function recordOneAccepted(
  database: Database,
  { submissionId, taskId, reply = null, ...options }: Acceptance,
): Promise<RecordedOutcome> {
  return await recordOutcome(database, submissionId, { kind: 'accepted', taskId, reply }, options)
}

/**
 * The conditions and columns restate what `decide` says about the current submission of a `submitting` generation;
 * tests/lifecycle-store.test.ts compares both on random rows.
 * @returns the moves by submission id
 */
async function acceptOrdinary({ prisma }: Database, acceptances: readonly Acceptance[]): Promise<Map<string, Moved>> {
  const ids = acceptances.map((one) => one.submissionId)
  // Looked up by id: a join would compare every row with every answer.
  const answers = JSON.stringify(Object.fromEntries(acceptances.map((one) => [one.submissionId, one])))
  const answer = (id: string, field: keyof Acceptance) =>
    Prisma.sql`((SELECT answers FROM given) -> ${Prisma.raw(id)} ->> ${Prisma.raw(`'${field}'`)})`
  // Generations are locked before their ledger rows, as everywhere in the store.
  const ctes = Prisma.sql`
    given AS (
      SELECT ${answers}::jsonb AS answers
    ),
    ordinary AS MATERIALIZED (
      SELECT s.id
      FROM submissions s
      JOIN generations g ON g.id = s.generation_id
      WHERE s.id = ANY (${ids}::text[])
        AND s.state = 'started'
        AND g.current_submission_id = s.id
        AND g.status = 'submitting'
        AND g.cancel_requested_at IS NULL
      ORDER BY g.id
      FOR UPDATE OF g SKIP LOCKED
    ),
    settled AS (
      UPDATE submissions s
      SET state = 'accepted', upstream_task_id = ${answer('s.id', 'taskId')},
        reply = nullif((SELECT answers FROM given) -> s.id -> 'reply', 'null'),
        settled_at = clock_timestamp()
      WHERE s.id = ANY (ARRAY(SELECT id FROM ordinary)) AND s.state = 'started'
      RETURNING s.generation_id
    )`
  const set = Prisma.sql`
    may_be_charged = true,
    (upstream_task_id, submitted_at) = (
      SELECT ${answer('s.id', 'taskId')}, s.started_at
      FROM submissions s
      WHERE s.id = g.current_submission_id
    ),
    last_pending_at = NULL, poll_failures = 0, last_poll = NULL, error_code = NULL,
    error_message = NULL,
    due_at = now() + ${answer('g.current_submission_id', 'firstPollMs')}::float8 * interval '1 ms'`
  const which = Prisma.sql`id IN (SELECT generation_id FROM settled)`
  const extraColumns = Prisma.sql`current_submission_id AS "submissionId"`
  const moved = await moveGenerations<{ submissionId: string }>(prisma, which, 'accept', { ctes, set, extraColumns })
  return new Map(moved.map(({ submissionId, ...move }) => [submissionId, move]))
}
