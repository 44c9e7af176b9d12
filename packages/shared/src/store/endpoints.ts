// Webhook endpoints of a project: made, changed, rotated, disabled. A deleted one stays for its log, without its secret.

import { ENDPOINT_DISABLED, ENDPOINT_TEST } from '../domain/events.ts'
import { newId } from '../domain/ids.ts'
import { type Database, type Sql, withRetry } from './database.ts'
import { Prisma, type WebhookEndpoint } from './generated/client.ts'
import { OWED_DELIVERIES } from './moves.ts'

export type { WebhookEndpoint }

/** Why an endpoint is disabled; stored and shown. */
export type DisabledReason = 'by_request' | 'gone' | 'failing'

export interface NewEndpoint {
  readonly projectId: string
  readonly url: string
  readonly description: string | null
  /** Empty: whatever is delivered by default. */
  readonly eventTypes: readonly string[]
  readonly sealedSecret: string
}

export async function createEndpoint({ prisma }: Database, row: NewEndpoint): Promise<WebhookEndpoint> {
  const { projectId, url, description, eventTypes, sealedSecret: secret } = row
  const data = { id: newId('endpoint'), projectId, url, description, eventTypes: [...eventTypes], secret }
  return await prisma.webhookEndpoint.create({ data })
}

/** One endpoint of the project, or null: another project's id, or a deleted one's, is as unknown as no id. */
export async function findEndpoint(
  { prisma }: Database,
  projectId: string,
  id: string,
): Promise<WebhookEndpoint | null> {
  return await prisma.webhookEndpoint.findFirst({ where: { id, projectId, deletedAt: null } })
}

/** Up to `limit` endpoints older than `before`, newest first. */
export async function listEndpoints(
  { prisma }: Database,
  projectId: string,
  limit: number,
  before?: string,
): Promise<WebhookEndpoint[]> {
  return await prisma.webhookEndpoint.findMany({
    where: { projectId, deletedAt: null, ...(before && { id: { lt: before } }) },
    orderBy: { id: 'desc' },
    take: limit,
  })
}

export interface EndpointChanges {
  readonly url?: string | undefined
  readonly description?: string | null | undefined
  readonly eventTypes?: readonly string[] | undefined
  readonly enabled?: boolean | undefined
}

/** Changes what is named. A new URL holds also for what is still to be delivered; enabling forgets past failures. */
export async function changeEndpoint(
  { prisma }: Database,
  { id, url: before, disabledAt }: WebhookEndpoint,
  { url, description, eventTypes, enabled }: EndpointChanges,
): Promise<WebhookEndpoint> {
  return await prisma.$transaction(async (tx) => {
    if (url !== undefined && url !== before) {
      // One event goes to one URL once: where the new URL is served already, the old delivery goes on as it is.
      await tx.$executeRaw`
        UPDATE deliveries SET url = ${url} WHERE endpoint_id = ${id} AND state = 'pending'
          AND NOT EXISTS (SELECT 1 FROM deliveries other WHERE other.event_id = deliveries.event_id AND other.url = ${url})`
    }
    const changed = await tx.webhookEndpoint.update({
      where: { id },
      data: {
        ...(url !== undefined && { url }),
        ...(description !== undefined && { description }),
        ...(eventTypes !== undefined && { eventTypes: [...eventTypes] }),
        ...(enabled === true && { disabledAt: null, disabledReason: null, failingSince: null }),
        ...(enabled === false && disabledAt === null && { disabledAt: new Date(), disabledReason: 'by_request' }),
      },
    })
    if (changed.disabledAt !== null) await abandonPending(tx, id)
    return changed
  })
}

export async function deleteEndpoint({ prisma }: Database, id: string): Promise<void> {
  const now = new Date()
  const data = { deletedAt: now, disabledAt: now, secret: '', previousSecret: null, previousSecretUntil: null }
  await prisma.$transaction(async (tx) => {
    await tx.webhookEndpoint.update({ where: { id }, data })
    await abandonPending(tx, id)
  })
}

/** What was still to be sent to it has failed, and can be delivered anew. */
async function abandonPending(tx: Sql, id: string): Promise<void> {
  await tx.$executeRaw`
    UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now()
    WHERE endpoint_id = ${id} AND state = 'pending'`
}

/** Gives it another secret; the present one signs too for `overlapMs`, and one that did so before no more. */
export async function rotateSecret(
  { prisma }: Database,
  id: string,
  sealedSecret: string,
  overlapMs: number,
): Promise<WebhookEndpoint> {
  await prisma.$executeRaw`
    UPDATE webhook_endpoints SET secret = ${sealedSecret},
      previous_secret = CASE WHEN ${overlapMs} > 0 THEN secret END,
      previous_secret_until = CASE WHEN ${overlapMs} > 0 THEN now() + ${overlapMs} * interval '1 ms' END
    WHERE id = ${id}`
  return await prisma.webhookEndpoint.findUniqueOrThrow({ where: { id } })
}

/** Owes the endpoint a test event. @returns the delivery's id */
export async function testEndpoint(
  { prisma }: Database,
  { id, projectId, url }: Pick<WebhookEndpoint, 'id' | 'projectId' | 'url'>,
): Promise<string> {
  return await prisma.$transaction(async (tx) => {
    const eventId = await recordEndpointEvent(tx, id, ENDPOINT_TEST, { endpoint_id: id })
    const deliveryId = newId('delivery')
    await tx.$executeRaw`
      INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, next_attempt_at, due_at)
      VALUES (${deliveryId}, ${projectId}, ${eventId}, ${id}, ${url}, now(), now())`
    return deliveryId
  })
}

/**
 * Disables an endpoint that works no more, once, and tells the project through its other endpoints.
 * @returns the deliveries owed, to be woken
 */
export async function disableEndpoint(
  { prisma }: Database,
  id: string,
  reason: Exclude<DisabledReason, 'by_request'>,
): Promise<string[]> {
  const disable = async (tx: Sql) => {
    const [row] = await tx.$queryRaw<{ url: string; failingSince: Date | null }[]>`
      UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = ${reason}
      WHERE id = ${id} AND disabled_at IS NULL RETURNING url, failing_since AS "failingSince"`
    if (!row) return []
    await abandonPending(tx, id)
    const failing = row.failingSince?.toISOString() ?? null
    const eventId = await recordEndpointEvent(tx, id, ENDPOINT_DISABLED, {
      endpoint_id: id,
      url: row.url,
      reason,
      failing_since: failing,
    })
    const owed = await tx.$queryRaw<{ id: string }[]>`
      WITH fact AS (SELECT id, project_id, type, NULL::text AS webhook_url FROM events WHERE id = ${eventId}), owed AS (${OWED_DELIVERIES})
      SELECT id FROM owed`
    return owed.map((delivery) => delivery.id)
  }
  return await withRetry(() => prisma.$transaction(disable))
}

async function recordEndpointEvent(tx: Sql, endpointId: string, type: string, data: object): Promise<string> {
  const eventId = newId('event')
  await tx.$executeRaw`
    WITH subject AS (UPDATE webhook_endpoints SET event_seq = event_seq + 1 WHERE id = ${endpointId} RETURNING project_id, event_seq)
    INSERT INTO events (id, project_id, endpoint_id, sequence, type, data)
    SELECT ${eventId}, project_id, ${endpointId}, event_seq, ${type}, ${JSON.stringify(data)}::jsonb FROM subject`
  return eventId
}

/** How long nothing but failures is put up with. */
const FAILING_MAX = Prisma.raw(`interval '5 days'`)

/**
 * Notes how an attempt at an endpoint went. A success ends its failing; the first failure after one begins it.
 * @returns whether it has failed for so long that it is to be disabled
 */
export async function noteEndpointAttempt({ prisma }: Database, id: string, succeeded: boolean): Promise<boolean> {
  const [row] = await prisma.$queryRaw<{ isGivenUp: boolean }[]>`
    UPDATE webhook_endpoints SET failing_since = CASE WHEN ${succeeded} THEN NULL ELSE coalesce(failing_since, now()) END
    WHERE id = ${id}
    RETURNING failing_since < now() - ${FAILING_MAX} AND disabled_at IS NULL AS "isGivenUp"`
  return row?.isGivenUp ?? false
}
