// The only place that writes a generation's status. One statement moves the rows, records each move's event, and creates the event's
// deliveries or notes that they are still to be created, so that none of these can exist without the others.

import { isTerminal, MOVES, type MoveName } from '../domain/status.ts'
import { PREPARED, type Sql } from './database.ts'
import { CREATE_DELIVERIES, CREATE_LATER, DELIVERIES_TO_ENQUEUE } from './fan-out.ts'
import { Prisma } from './generated/client.ts'

export interface Moved {
  readonly id: string
  readonly batchId: string | null
  /** Deliveries that the move created, to be woken after commit: few for each server, for whoever delivers them goes on with the others. */
  readonly deliveryIds: readonly string[]
}

/** The statement's parts that differ from move to move; all may name the row as `g`. */
export interface MoveDetails {
  /** Further assignments, such as `Prisma.sql\`due_at = NULL\``. */
  readonly set?: Prisma.Sql
  /** A further condition beside the status. */
  readonly guard?: Prisma.Sql
  /** What the statement does first: common table expressions, which the other parts may name. */
  readonly first?: Prisma.Sql
  /** What else is told of each row that moved: columns, with their names. */
  readonly told?: Prisma.Sql
  /** When the deliveries of the events are created: `later` is for moves of very many rows (see fan-out.ts). Default: `now`. */
  readonly fanOut?: 'now' | 'later'
}

/**
 * Moves those generations from which the move is legal; the others are left alone (someone else was first).
 * `which`: their ids, or a condition on their table.
 * Rows are locked in id order, so concurrent moves of several rows cannot deadlock among themselves.
 * @returns those that moved, each with what it was to be `told` besides
 */
export async function moveGenerations<Told = unknown>(
  sql: Sql,
  which: readonly string[] | Prisma.Sql,
  move: MoveName,
  { set, guard, first, told, fanOut = 'now' }: MoveDetails = {},
): Promise<(Moved & Told)[]> {
  if ('length' in which && which.length === 0) return []
  const condition = 'length' in which ? Prisma.sql`id = ANY (${which}::text[])` : which
  const { from, to } = MOVES[move]
  const finishedAt = isTerminal(to) ? Prisma.sql`now()` : Prisma.sql`NULL`
  // One that moves whatever meets a condition is rare, and may be large: a plan of its own is worth its cost.
  const prepared = first || 'length' in which ? Prisma.raw(PREPARED) : Prisma.empty
  const rows = await sql.$queryRaw<(MovedRow & Told)[]>`
    ${prepared} WITH ${first ? Prisma.sql`${first}, ` : Prisma.empty}moved AS (
      UPDATE generations g
      SET status = ${to}::generation_status, event_seq = g.event_seq + 1, finished_at = ${finishedAt}${set ? Prisma.sql`, ${set}` : Prisma.empty}
      WHERE g.id = ANY (ARRAY(SELECT id FROM generations WHERE ${condition} ORDER BY id FOR UPDATE))
        AND g.status = ANY (${from}::text[]::generation_status[])${guard ? Prisma.sql` AND ${guard}` : Prisma.empty}
      RETURNING g.*, new_id('evt') AS event_id
    ), recorded AS (
      INSERT INTO events (id, project_id, generation_id, sequence, type, data)
      SELECT event_id, project_id, id, event_seq, 'generation.' || status::text, ${GENERATION_SNAPSHOT} FROM moved
    ), fact AS (
      SELECT event_id AS id, project_id, 'generation.' || status::text AS type, webhook_url FROM moved
    ), ${fanOut === 'now' ? Prisma.sql`created AS (${CREATE_DELIVERIES})` : Prisma.sql`later AS (${CREATE_LATER})`}
    SELECT g.id, g.batch_id AS "batchId", g.event_id AS "eventId"${told ? Prisma.sql`, ${told}` : Prisma.empty},
      -- With the first row, once: a join would compare each with each.
      CASE WHEN row_number() OVER () = 1 THEN (${fanOut === 'now' ? DELIVERIES_TO_ENQUEUE : Prisma.sql`NULL::jsonb`}) END AS woken
    FROM moved g`
  const owed = new Map<string, string[]>()
  for (const { event_id: eventId, id } of rows[0]?.woken ?? []) owed.set(eventId, [...(owed.get(eventId) ?? []), id])
  return rows.map(({ eventId, woken: _, ...row }) => {
    return { ...row, deliveryIds: owed.get(eventId) ?? [] } as Moved & Told
  })
}

interface MovedRow {
  readonly id: string
  readonly batchId: string | null
  readonly eventId: string
  readonly woken: readonly { readonly id: string; readonly event_id: string }[] | null
}

/** Timestamps inside JSON read like those of the API: ISO 8601 in UTC with milliseconds. */
const iso = (column: string) => Prisma.raw(`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)

/** What a move changed of the generation, without nulls; `contract/generation.ts` reads it back. */
const GENERATION_SNAPSHOT = Prisma.sql`jsonb_strip_nulls(jsonb_build_object(
  'status', status, 'video_url', video_url, 'video_url_expires_at', ${iso('video_url_expires_at')},
  'actual_duration', actual_duration,
  'error', CASE WHEN error_code IS NULL THEN NULL ELSE jsonb_build_object('code', error_code, 'message', error_message) END,
  'upstream_task_id', upstream_task_id, 'attempt', attempt, 'may_be_charged', may_be_charged OR status = 'submitting', 'submitted_at', ${iso('submitted_at')}, 'finished_at', ${iso('finished_at')},
  'priority', priority, 'cancel_requested_at', ${iso('cancel_requested_at')}))`
