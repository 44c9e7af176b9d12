// The fan-out of an event: one delivery for each URL that receives the event. Most moves create the deliveries of their
// events in their own statement. A move of very many rows would take minutes with fifty endpoints, so such a move only
// notes its events. Pages with their own commits create the deliveries later, for the endpoints of that moment.

import { DELIVERED_BY_DEFAULT, DELIVERED_TO_REQUEST } from '@reelqueue/contract/terms/event-types'
import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'

/** The largest number of deliveries to one origin that are enqueued together. */
export const ENQUEUED_PER_ORIGIN = 20

/**
 * Makes a delivery id at a fifth of the cost of new_id('dlv'), for statements that make thousands of ids. The time part
 * is read once for the whole statement. The rest is digits of a UUID, with the UUID's variant where a TypeID needs the
 * variant.
 */
const DELIVERY_ID = Prisma.sql`
  (SELECT substr(new_id('dlv'), 1, 14))
  || 'e'
  || replace(substr(gen_random_uuid()::text, 17, 17), '-', '')`

/** Creates one delivery for each URL that receives an event in `fact`. A URL that is named twice gets one delivery. */
export const CREATE_DELIVERIES = Prisma.sql`
  INSERT INTO deliveries (
    id, project_id, event_id, endpoint_id, url, payload, next_attempt_at, due_at
  )
  SELECT DISTINCT ON (target.event_id, target.url) ${DELIVERY_ID}, target.project_id,
    target.event_id, target.endpoint_id, target.url, target.payload, now(), now()
  FROM (
    SELECT fact.id AS event_id, fact.project_id, NULL AS endpoint_id, fact.webhook_url AS url,
      'full'::webhook_payload AS payload
    FROM fact
    WHERE fact.webhook_url IS NOT NULL AND fact.type = ANY (${DELIVERED_TO_REQUEST}::text[])
    UNION ALL
    SELECT fact.id, fact.project_id, endpoint.id, endpoint.url, endpoint.payload
    FROM fact
    JOIN webhook_endpoints endpoint ON endpoint.project_id = fact.project_id
      AND endpoint.disabled_at IS NULL
      AND fact.type = ANY (
        CASE
          WHEN endpoint.event_types = '{}' THEN ${DELIVERED_BY_DEFAULT}::text[]
          ELSE endpoint.event_types
        END
      )
  ) target
  ORDER BY target.event_id, target.url, target.endpoint_id NULLS LAST
  RETURNING id, event_id, target`

/** The deliveries in `created` to enqueue after the commit, as one JSON array: few for each origin. */
export const DELIVERIES_TO_ENQUEUE = Prisma.sql`
  SELECT jsonb_agg(jsonb_build_object('id', id, 'event_id', event_id))
  FROM (SELECT id, event_id, row_number() OVER (PARTITION BY target) AS turn FROM created) each
  WHERE turn <= ${ENQUEUED_PER_ORIGIN}`

/** Notes the events in `fact` that may have a receiver. `fanOutPage` creates their deliveries. */
export const CREATE_LATER = Prisma.sql`
  INSERT INTO pending_fan_outs (project_id, id)
  SELECT project_id, id
  FROM fact
  WHERE webhook_url IS NOT NULL
    OR EXISTS (
      SELECT 1
      FROM webhook_endpoints endpoint
      WHERE endpoint.project_id = fact.project_id AND endpoint.disabled_at IS NULL
    )`

/** The first project after `after` (an id, '' for the beginning) with noted events; null after the last project. */
export async function nextToFanOut({ prisma }: Database, after: string): Promise<string | null> {
  const [row] = await prisma.$queryRaw<{ projectId: string }[]>(sql.named('nextToFanOut')`
    SELECT project_id AS "projectId"
    FROM pending_fan_outs
    WHERE project_id > ${after} AND ${isStorable('pending_fan_outs.id')}
    ORDER BY project_id
    LIMIT 1`)
  return row?.projectId ?? null
}

export interface FannedOutPage {
  /** Events whose deliveries exist now. */
  readonly events: number
  /** Deliveries to enqueue. */
  readonly deliveryIds: readonly string[]
}

/**
 * Creates the deliveries of up to `rows` noted events of a project, the oldest first. Events locked by another process
 * are skipped, so two processes share the work. An event whose deliveries Postgres refuses to write is noted as
 * unstorable and stays.
 */
export async function fanOutPage(database: Database, projectId: string, rows: number): Promise<FannedOutPage> {
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM pending_fan_outs
    WHERE project_id = ${projectId} AND ${isStorable('pending_fan_outs.id')} ${among}
    ORDER BY id
    LIMIT ${rows}
    FOR UPDATE SKIP LOCKED`
  const pages = await claimStorable(database, 'fan_out', pick, (picked) =>
    withRetry(() =>
      database.prisma.$queryRaw<{ events: number; enqueued: { id: string }[] | null }[]>(sql.named(
        'fanOutPage',
        'prepared',
      )`
        WITH page AS MATERIALIZED (${picked}), done AS (
          DELETE FROM pending_fan_outs
          WHERE project_id = ${projectId} AND id = ANY (ARRAY(SELECT id FROM page))
          RETURNING id
        ), fact AS (
          SELECT event.id, event.project_id, event.type, generation.webhook_url
          FROM done
          JOIN events event ON event.id = done.id
          LEFT JOIN generations generation ON generation.id = event.generation_id
        ), created AS (${CREATE_DELIVERIES})
        SELECT (SELECT count(*)::int FROM done) AS events, (${DELIVERIES_TO_ENQUEUE}) AS enqueued`),
    ),
  )
  return {
    events: pages.reduce((sum, page) => sum + page.events, 0),
    deliveryIds: pages.flatMap((page) => (page.enqueued ?? []).map((delivery) => delivery.id)),
  }
}
