// Claims of deliveries: the beginning of an attempt, with everything that the attempt needs.

import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { signingStill } from '../rotation.ts'
import { sql } from '../sql.ts'
import { sqlState } from '../sql-state.ts'
import { isCommonFailure } from '../unavailable.ts'
import { isStorable } from '../unstorable.ts'
import { notingUnstorable } from '../unstorable-search.ts'
import { type ClaimedDelivery, type ClaimedRow, dated, NOT_IN_EVENTS } from './claimed-delivery.ts'
import { isCoolingDown } from './cool-downs.ts'
import { UNWANTED } from './deliveries.ts'
import { readSealedHeaders } from './endpoint-headers.ts'
import { moveDeliveries } from './moved-urls.ts'

/**
 * Begins the next attempt with a lease. An attempt without a recorded outcome at the end of the lease counts as lost.
 * A delivery is pending exactly when `next_attempt_at` is set. A statement that selects by id omits `state =
 * 'pending'`: with this condition the planner would use the index of pending deliveries instead of the primary key.
 */
const begin = (leaseMs: number) => Prisma.sql`
  UPDATE deliveries
  SET attempts = attempts + 1, next_attempt_at = now() + ${leaseMs} * interval '1 ms',
    due_at = now() + ${leaseMs} * interval '1 ms'`

/** A claim request: a named delivery, or any due delivery to an origin. */
export type Wanted = { readonly id: string } | { readonly origin: string }

/**
 * Claims deliveries for `leaseMs`. The results are in the order of `wanted`: null when no attempt is due or another
 * transaction locks the row; an Error when the delivery was claimed and cannot be used. For an origin the longest due
 * deliveries come first, and deliveries to disabled endpoints are left out.
 */
export async function claimDeliveries(
  { prisma }: Database,
  wanted: readonly Wanted[],
  leaseMs: number,
): Promise<(ClaimedDelivery | Error | null)[]> {
  const ids = wanted.flatMap((one) => ('id' in one ? one.id : []))
  const origins = wanted.flatMap((one) => ('origin' in one ? one.origin : []))
  const rows = await withRetry(() =>
    prisma.$queryRaw<ClaimedRow[]>(sql.named('claimDeliveries', 'prepared')`
      WITH named AS (
        SELECT id
        FROM deliveries
        WHERE id = ANY (${ids}::text[])
          AND next_attempt_at <= now()
          AND NOT ${isCoolingDown('deliveries.target')}
          AND ${isStorable('deliveries.id')}
        FOR UPDATE SKIP LOCKED
      ), next AS (
        SELECT due.id
        FROM (
          SELECT target, count(*)
          FROM unnest(${origins}::text[]) AS target
          GROUP BY target
        ) asked
        CROSS JOIN LATERAL (
          SELECT id
          FROM deliveries
          WHERE ${dueFor(Prisma.sql`asked.target`)}
            AND id <> ALL (${ids}::text[])
            AND NOT ${UNWANTED}
            AND ${isStorable('deliveries.id')}
          ORDER BY next_attempt_at
          LIMIT asked.count
          FOR UPDATE SKIP LOCKED
        ) due
        WHERE NOT ${isCoolingDown('asked.target')}
      ), claimed AS (
        ${begin(leaseMs)}
        WHERE id = ANY (ARRAY(SELECT id FROM named UNION ALL SELECT id FROM next))
        RETURNING id, target, url, payload, attempts, attempts_before, event_id, endpoint_id,
          project_id
      )
      SELECT claimed.id, claimed.project_id AS "projectId", claimed.target AS origin, claimed.url,
        claimed.payload, claimed.attempts AS attempt,
        claimed.attempts - claimed.attempts_before AS scheduled, event.id AS "eventId", event.type,
        event.sequence, event.created_at AS "createdAt", event.data,
        event.generation_id AS "generationId", event.batch_id AS "batchId",
        endpoint.id AS "endpointId", endpoint.url AS "endpointUrl",
        endpoint.failing_since AS "failingSince", endpoint.headers,
        coalesce(endpoint.secret, project.webhook_secret) AS secret,
        coalesce(endpoint.previous_secrets, project.previous_secrets) AS "previousSecrets",
        (SELECT ${NOT_IN_EVENTS} FROM generations WHERE id = event.generation_id) AS generation
      FROM claimed
      JOIN events event ON event.id = claimed.event_id
      JOIN projects project ON project.id = claimed.project_id
      LEFT JOIN webhook_endpoints endpoint ON endpoint.id = claimed.endpoint_id`),
  )
  const moved = await moveDeliveries(prisma, rows)
  // INVARIANT: a claimed delivery is handed out once.
  const left = new Set(rows)
  const handOut = (one: Wanted) => {
    const row = [...left].find((other) =>
      'id' in one ? other.id === one.id : other.origin === one.origin && !ids.includes(other.id),
    )
    if (row) left.delete(row)
    return row
  }
  return await Promise.all(
    wanted.map(handOut).map(async (row) => {
      if (!row) return null
      const {
        id,
        projectId,
        payload,
        endpointUrl,
        endpointId,
        failingSince,
        headers,
        secret,
        previousSecrets,
        ...rest
      } = row
      const { eventId, generation, ...event } = rest
      try {
        const url = moved.get(id) ?? row.url
        if (url instanceof Error) throw url
        return {
          id,
          projectId,
          url,
          attempt: rest.attempt,
          scheduled: rest.scheduled,
          event: { ...event, id: eventId },
          payload,
          generation: generation && dated(generation),
          endpoint:
            endpointId === null || endpointUrl === null
              ? null
              : { id: endpointId, failingSince, url: endpointUrl, sealedHeaders: readSealedHeaders(headers) },
          sealedSecrets: [secret, ...signingStill(previousSecrets, new Date()).map((one) => one.secret)],
        }
      } catch (cause) {
        return new Error(`the delivery ${id} was claimed and cannot be read`, { cause })
      }
    }),
  )
}

/**
 * Claims one delivery; a row that Postgres refuses to write is noted. @throws the reason when the claim fails or the
 * delivery cannot be used
 */
export async function claimDelivery(
  database: Database,
  wanted: Wanted,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const claim = async (one: Wanted) => {
    const [claimed = null] = await claimDeliveries(database, [one], leaseMs)
    if (claimed instanceof Error) throw claimed
    return claimed
  }
  const claimById = (id: string) => notingUnstorable(database, 'deliver', id, () => claim({ id }))
  if ('id' in wanted) return await claimById(wanted.id)
  try {
    return await claim(wanted)
  } catch (error) {
    if (sqlState(error) === undefined || isCommonFailure(error)) throw error
    // The refused row fails again when claimed by id, and is then noted. If another worker noted the row first, `next`
    // is another delivery.
    const next = await nextFor(database, wanted.origin)
    return next === null ? null : await claimById(next)
  }
}

/** The delivery that a claim for the origin would take. */
async function nextFor({ prisma }: Database, origin: string): Promise<string | null> {
  const [row] = await prisma.$queryRaw<{ id: string }[]>(sql.named('nextDelivery')`
    SELECT id
    FROM deliveries
    WHERE ${dueFor(origin)} AND NOT ${UNWANTED} AND ${isStorable('deliveries.id')}
    ORDER BY next_attempt_at
    LIMIT 1`)
  return row?.id ?? null
}

const dueFor = (origin: Prisma.Sql | string) =>
  Prisma.sql`target = ${origin} AND state = 'pending' AND next_attempt_at <= now()`
