// The only place that writes a generation's status. One statement moves the rows, records each move's event and
// creates the deliveries it owes, so that none of the three can exist without the others.

import { DELIVERED_BY_DEFAULT, DELIVERED_TO_REQUEST } from '../domain/events.ts'
import { isTerminal, MOVES, type MoveName } from '../domain/status.ts'
import type { Sql } from './database.ts'
import { Prisma } from './generated/client.ts'

export interface Moved {
  readonly id: string
  readonly batchId: string | null
  /** Deliveries that the move created, to be woken after commit. */
  readonly deliveryIds: readonly string[]
}

/** The statement's parts that differ from move to move; both may name the row as `g`. */
export interface MoveDetails {
  /** Further assignments, such as `Prisma.sql\`due_at = NULL\``. */
  readonly set?: Prisma.Sql
  /** A further condition beside the status. */
  readonly guard?: Prisma.Sql
}

/**
 * Moves those generations from which the move is legal; the others are left alone (someone else was first).
 * `which`: their ids, or a condition on their table.
 * Rows are locked in id order, so concurrent moves of several rows cannot deadlock among themselves.
 */
export async function moveGenerations(
  sql: Sql,
  which: readonly string[] | Prisma.Sql,
  move: MoveName,
  { set, guard }: MoveDetails = {},
): Promise<Moved[]> {
  if ('length' in which && which.length === 0) return []
  const condition = 'length' in which ? Prisma.sql`id = ANY (${which}::text[])` : which
  const { from, to } = MOVES[move]
  const finishedAt = isTerminal(to) ? Prisma.sql`now()` : Prisma.sql`NULL`
  return await sql.$queryRaw<Moved[]>`
    WITH moved AS (
      UPDATE generations g
      SET status = ${to}::generation_status, event_seq = g.event_seq + 1, finished_at = ${finishedAt}${set ? Prisma.sql`, ${set}` : Prisma.empty}
      WHERE g.id = ANY (ARRAY(SELECT id FROM generations WHERE ${condition} ORDER BY id FOR UPDATE))
        AND g.status = ANY (${from}::text[]::generation_status[])${guard ? Prisma.sql` AND ${guard}` : Prisma.empty}
      RETURNING g.*
    ), recorded AS (
      INSERT INTO events (id, project_id, generation_id, sequence, type, data)
      SELECT new_id('evt'), project_id, id, event_seq, 'generation.' || status::text, ${GENERATION_SNAPSHOT} FROM moved
      RETURNING id, project_id, generation_id, type
    ), fact AS (
      SELECT recorded.*, moved.webhook_url FROM recorded JOIN moved ON moved.id = recorded.generation_id
    ), owed AS (${OWED_DELIVERIES})
    SELECT moved.id, moved.batch_id AS "batchId", coalesce(deliveries.ids, '{}') AS "deliveryIds"
    FROM moved JOIN recorded ON recorded.generation_id = moved.id
      LEFT JOIN (SELECT event_id, array_agg(id) AS ids FROM owed GROUP BY event_id) deliveries ON deliveries.event_id = recorded.id`
}

/** Timestamps inside JSON read like those of the API: ISO 8601 in UTC with milliseconds. */
const iso = (column: string) => Prisma.raw(`to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`)

/** What a move changed of the generation, without nulls; `contract/generation.ts` reads it back. */
const GENERATION_SNAPSHOT = Prisma.sql`jsonb_strip_nulls(jsonb_build_object(
  'status', status, 'video_url', video_url, 'video_url_expires_at', ${iso('video_url_expires_at')},
  'actual_duration', actual_duration,
  'error', CASE WHEN error_code IS NULL THEN NULL ELSE jsonb_build_object('code', error_code, 'message', error_message) END,
  'upstream_task_id', upstream_task_id, 'attempt', attempt, 'may_be_charged', may_be_charged OR status = 'submitting', 'submitted_at', ${iso('submitted_at')}, 'finished_at', ${iso('finished_at')}))`

/** Creates one delivery for each URL that the rows of `fact` are owed to; a URL named twice is served once. */
export const OWED_DELIVERIES = Prisma.sql`
  INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, next_attempt_at, due_at)
  SELECT DISTINCT ON (target.event_id, target.url)
    new_id('dlv'), target.project_id, target.event_id, target.endpoint_id, target.url, now(), now()
  FROM (
    SELECT fact.id AS event_id, fact.project_id, NULL AS endpoint_id, fact.webhook_url AS url
    FROM fact WHERE fact.webhook_url IS NOT NULL AND fact.type = ANY (${DELIVERED_TO_REQUEST}::text[])
    UNION ALL
    SELECT fact.id, fact.project_id, endpoint.id, endpoint.url
    FROM fact JOIN webhook_endpoints endpoint ON endpoint.project_id = fact.project_id AND endpoint.disabled_at IS NULL
      AND fact.type = ANY (CASE WHEN endpoint.event_types = '{}' THEN ${DELIVERED_BY_DEFAULT}::text[] ELSE endpoint.event_types END)
  ) target
  ORDER BY target.event_id, target.url, target.endpoint_id NULLS LAST
  RETURNING id, event_id`
