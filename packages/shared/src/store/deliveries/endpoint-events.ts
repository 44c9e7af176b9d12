// Events of a webhook endpoint itself, and the project's notice of these events: tests, failures, and disabling.

import { ENDPOINT_DISABLED, ENDPOINT_TEST } from '@reelqueue/contract/terms/event-types'
import { newId } from '@reelqueue/contract/terms/ids'
import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma, type WebhookEndpoint } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { cancelUnwanted } from './delivery-ends.ts'
import { CREATE_DELIVERIES } from './fan-out.ts'

/** The reason why an endpoint is disabled; stored and shown. */
export type DisabledReason = 'by_request' | 'gone' | 'failing'

/** Creates a test event for the endpoint. @returns the id of its delivery */
export async function testEndpoint(
  { prisma }: Database,
  { id, url }: Pick<WebhookEndpoint, 'id' | 'url'>,
): Promise<string> {
  return await prisma.$transaction(async (tx) => {
    const eventId = await recordEndpointEvent(tx, id, ENDPOINT_TEST, { endpoint_id: id })
    const deliveryId = newId('delivery')
    await tx.$executeRaw(sql.named('testEndpoint')`
      INSERT INTO deliveries (
        id, project_id, event_id, endpoint_id, url, payload, next_attempt_at, due_at
      )
      SELECT ${deliveryId}, event.project_id, event.id, event.endpoint_id, ${url}, endpoint.payload,
        now(), now()
      FROM events event
      JOIN webhook_endpoints endpoint ON endpoint.id = event.endpoint_id
      WHERE event.id = ${eventId}`)
    return deliveryId
  })
}

/** The URL of an attempt. The attempt says nothing about an endpoint that has moved since. */
interface Attempted {
  readonly id: string
  readonly url: string
}

/** How long an endpoint may fail without a success. */
export const FAILING_MAX_MS = 5 * 24 * 3_600_000

/**
 * Disables an endpoint that is gone, or that has only failed for days, once, and tells the project through its other
 * endpoints. One failure after an idle week is not enough: some delivery must have been failing for a day.
 * @returns the created deliveries, to enqueue; null when the endpoint was not disabled
 */
export async function disableEndpoint(
  database: Database,
  { id, url }: Attempted,
  reason: Exclude<DisabledReason, 'by_request'>,
): Promise<string[] | null> {
  const isDue =
    reason === 'gone'
      ? Prisma.sql`true`
      : Prisma.sql`
        failing_since < now() - ${FAILING_MAX_MS} * interval '1 ms'
        AND EXISTS (
          SELECT 1
          FROM deliveries
          WHERE endpoint_id = webhook_endpoints.id
            AND state = 'pending'
            AND pending_since < now() - interval '1 day'
        )`
  const disable = async (tx: Sql) => {
    const [row] = await tx.$queryRaw<{ failingSince: Date | null }[]>(sql.named('disableEndpoint')`
      UPDATE webhook_endpoints
      SET disabled_at = now(), disabled_reason = ${reason}
      WHERE id = ${id} AND url = ${url} AND disabled_at IS NULL AND ${isDue}
      RETURNING failing_since AS "failingSince"`)
    if (!row) return null
    const failing = row.failingSince?.toISOString() ?? null
    const facts = { endpoint_id: id, url, reason, failing_since: failing }
    const eventId = await recordEndpointEvent(tx, id, ENDPOINT_DISABLED, facts)
    const deliveryIds = await tx.$queryRaw<{ id: string }[]>(sql.named('createDisabledDeliveries')`
      WITH fact AS (
        SELECT id, project_id, type, NULL::text AS webhook_url
        FROM events
        WHERE id = ${eventId}
      ), created AS (${CREATE_DELIVERIES})
      SELECT id
      FROM created`)
    return deliveryIds.map((delivery) => delivery.id)
  }
  const deliveryIds = await withRetry(() => database.prisma.$transaction(disable))
  if (deliveryIds !== null) await cancelUnwanted(database, id)
  return deliveryIds
}

/** Notes that the endpoint fails from now on, or works again. Writes nothing when this is known. */
export async function noteFailing({ prisma }: Database, { id, url }: Attempted, failing: boolean): Promise<void> {
  await prisma.$executeRaw(sql.named('noteFailing')`
    UPDATE webhook_endpoints
    SET failing_since = CASE WHEN ${failing} THEN now() END
    WHERE id = ${id} AND url = ${url} AND (failing_since IS NULL) = ${failing}`)
}

async function recordEndpointEvent(tx: Sql, endpointId: string, type: string, data: object): Promise<string> {
  const eventId = newId('event')
  await tx.$executeRaw(sql.named('recordEndpointEvent')`
    WITH subject AS (
      UPDATE webhook_endpoints
      SET event_seq = event_seq + 1
      WHERE id = ${endpointId}
      RETURNING project_id, event_seq
    )
    INSERT INTO events (id, project_id, endpoint_id, sequence, type, data)
    SELECT ${eventId}, project_id, ${endpointId}, event_seq, ${type}, ${JSON.stringify(data)}::jsonb
    FROM subject`)
  return eventId
}
