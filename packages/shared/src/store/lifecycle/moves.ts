// The only writer of a generation's status. One statement moves the rows, records the event of each move, and creates
// the event's deliveries or notes the event for a later fan-out. So a move never exists without its event, nor an event
// without its deliveries.

import { isTerminal, MOVES, type MoveName, type Status } from '@reelqueue/contract/terms/status'
import type { Sql } from '../database.ts'
import { CREATE_DELIVERIES, CREATE_LATER, DELIVERIES_TO_ENQUEUE } from '../deliveries/fan-out.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

export interface Moved {
  readonly id: string
  readonly batchId: string | null
  /** The status that the generation has now. */
  readonly status: Status
  /**
   * Deliveries created by the move, to enqueue after the commit. Few for each origin: the worker's drain loop goes on
   * with the rest.
   */
  readonly deliveryIds: readonly string[]
}

/** The parts of the statement that differ from move to move. Each part may name the row as `g`. */
export interface MoveDetails {
  /** Further assignments, such as `Prisma.sql\`due_at = NULL\``. */
  readonly set?: Prisma.Sql
  /** A further condition beside the status. */
  readonly guard?: Prisma.Sql
  /** Prepended common table expressions. The other parts may name them. */
  readonly ctes?: Prisma.Sql
  /** Extra columns to return for each moved row, with their names. */
  readonly extraColumns?: Prisma.Sql
  /** When the deliveries of the events are created: `later` is for moves of very many rows (see fan-out.ts). Default: `now`. */
  readonly fanOut?: 'now' | 'later'
}

/**
 * Moves the generations whose status allows the move. All other generations stay unchanged (another process was first).
 * `which`: ids, or a condition on the table.
 * Rows are locked in id order, so concurrent moves of several rows cannot deadlock with each other.
 * @returns the moved rows, each with the columns of `extraColumns`
 */
export async function moveGenerations<Extra = unknown>(
  tx: Sql,
  which: readonly string[] | Prisma.Sql,
  move: MoveName,
  { set, guard, ctes, extraColumns, fanOut = 'now' }: MoveDetails = {},
): Promise<(Moved & Extra)[]> {
  if ('length' in which && which.length === 0) return []
  const condition = 'length' in which ? Prisma.sql`id = ANY (${which}::text[])` : which
  const { from, to } = MOVES[move]
  const finishedAt = isTerminal(to) ? Prisma.sql`now()` : Prisma.sql`NULL`
  // A move by a condition is rare and may be large, so its own plan is worth the planning time.
  const planning = ctes || 'length' in which ? 'prepared' : 'planned'
  const tables = ctes ? Prisma.sql`${ctes}, ` : Prisma.empty
  const assignments = set ? Prisma.sql`, ${set}` : Prisma.empty
  const guarded = guard ? Prisma.sql`AND ${guard}` : Prisma.empty
  const columns = extraColumns ? Prisma.sql`, ${extraColumns}` : Prisma.empty
  const [created, toEnqueue] =
    fanOut === 'now'
      ? [Prisma.sql`created AS (${CREATE_DELIVERIES})`, DELIVERIES_TO_ENQUEUE]
      : [Prisma.sql`later AS (${CREATE_LATER})`, Prisma.sql`NULL::jsonb`]
  const rows = await tx.$queryRaw<(MovedRow & Extra)[]>(sql.named(moveStatement(move), planning)`
    WITH ${tables}moved AS (
      UPDATE generations g
      SET status = ${to}::generation_status, event_seq = g.event_seq + 1,
        finished_at = ${finishedAt}${assignments}
      WHERE g.id = ANY (ARRAY(SELECT id FROM generations WHERE ${condition} ORDER BY id FOR UPDATE))
        AND g.status = ANY (${from}::text[]::generation_status[]) ${guarded}
      RETURNING g.*, new_id('evt') AS event_id
    ), recorded AS (
      INSERT INTO events (id, project_id, generation_id, sequence, type, data)
      SELECT event_id, project_id, id, event_seq, 'generation.' || status::text,
        ${GENERATION_SNAPSHOT}
      FROM moved
    ), fact AS (
      SELECT event_id AS id, project_id, 'generation.' || status::text AS type, webhook_url
      FROM moved
    ), ${created}
    SELECT g.id, g.batch_id AS "batchId", g.event_id AS "eventId"${columns},
      -- With the first row, once: a join would compare each with each.
      CASE WHEN row_number() OVER () = 1 THEN (${toEnqueue}) END AS enqueued
    FROM moved g`)
  const byEvent = new Map<string, string[]>()
  for (const { event_id: eventId, id } of rows[0]?.enqueued ?? [])
    byEvent.set(eventId, [...(byEvent.get(eventId) ?? []), id])
  return rows.map(({ eventId, enqueued: _, ...row }) => {
    return { ...row, status: to, deliveryIds: byEvent.get(eventId) ?? [] } as Moved & Extra
  })
}

/** The name of the statement of a move. */
export const moveStatement = (move: MoveName) => `move.${move}`

interface MovedRow {
  readonly id: string
  readonly batchId: string | null
  readonly eventId: string
  readonly enqueued: readonly { readonly id: string; readonly event_id: string }[] | null
}

/** Timestamps in JSON have the format of the API: ISO 8601 in UTC with milliseconds. */
const iso = (column: string) => Prisma.raw(`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)

/** The fields of a generation that a move may change, without nulls; `wire/generation.ts` reads them back. */
const GENERATION_SNAPSHOT = Prisma.sql`
  jsonb_strip_nulls(
    jsonb_build_object(
      'status', status, 'video_url', video_url,
      'video_url_expires_at', ${iso('video_url_expires_at')}, 'actual_duration', actual_duration,
      'error', CASE
        WHEN error_code IS NULL THEN NULL
        ELSE jsonb_build_object('code', error_code, 'message', error_message)
      END,
      'upstream_task_id', upstream_task_id, 'attempt', attempt,
      'may_be_charged', may_be_charged OR status = 'submitting',
      'submitted_at', ${iso('submitted_at')}, 'finished_at', ${iso('finished_at')},
      'priority', priority, 'cancel_requested_at', ${iso('cancel_requested_at')}
    )
  )`
