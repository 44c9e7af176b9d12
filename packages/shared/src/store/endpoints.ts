// Webhook endpoints of a project: made, changed, rotated, disabled. A deleted one stays for its log, without its secret.

import { ENDPOINT_DISABLED, ENDPOINT_TEST } from '../domain/events.ts'
import { newId } from '../domain/ids.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from './database.ts'
import { abandonUnwanted, moveDeliveries } from './deliveries.ts'
import { Prisma, type WebhookEndpoint } from './generated/client.ts'
import { OWED_DELIVERIES } from './moves.ts'
import { rotation } from './rotation.ts'

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

export type CreateEndpointResult =
  | { readonly kind: 'created'; readonly endpoint: WebhookEndpoint }
  /** The URL is another endpoint's, or there are as many as may be. */
  | { readonly kind: 'taken' | 'too_many' }

/** Each is owed every event, so there are few. */
const ENDPOINTS_MAX = 50

export async function createEndpoint({ prisma }: Database, row: NewEndpoint): Promise<CreateEndpointResult> {
  const { projectId, url, description, eventTypes, sealedSecret: secret } = row
  if ((await prisma.webhookEndpoint.count({ where: { projectId, deletedAt: null } })) >= ENDPOINTS_MAX)
    return { kind: 'too_many' }
  const data = { id: newId('endpoint'), projectId, url, description, eventTypes: [...eventTypes], secret }
  try {
    return { kind: 'created', endpoint: await prisma.webhookEndpoint.create({ data }) }
  } catch (error) {
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
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

export type ChangeEndpointResult =
  | { readonly kind: 'changed'; readonly endpoint: WebhookEndpoint }
  | { readonly kind: 'taken' | 'gone' }

/** Changes what is named. A new URL holds also for what is still to be delivered, and begins without failures; so does enabling. */
export async function changeEndpoint(
  database: Database,
  id: string,
  { url, description, eventTypes, enabled }: EndpointChanges,
): Promise<ChangeEndpointResult> {
  const change = async (tx: Sql & Pick<Database['prisma'], 'webhookEndpoint'>): Promise<ChangeEndpointResult> => {
    // The endpoint before its deliveries, as everywhere: no two can wait for each other. No key: moves that owe it deliveries go on.
    const [before] = await tx.$queryRaw<{ url: string; isDisabled: boolean }[]>`
      SELECT url, disabled_at IS NOT NULL AS "isDisabled" FROM webhook_endpoints WHERE id = ${id} AND deleted_at IS NULL FOR NO KEY UPDATE`
    if (!before) return { kind: 'gone' }
    const moves = url !== undefined && url !== before.url
    const endpoint = await tx.webhookEndpoint.update({
      where: { id },
      data: {
        ...(moves && { url, failingSince: null }),
        ...(description !== undefined && { description }),
        ...(eventTypes !== undefined && { eventTypes: [...eventTypes] }),
        ...(enabled === true && { disabledAt: null, disabledReason: null, failingSince: null }),
        ...(enabled === false && !before.isDisabled && { disabledAt: new Date(), disabledReason: 'by_request' }),
      },
    })
    if (moves && endpoint.disabledAt === null)
      await moveDeliveries(tx, Prisma.sql`endpoint_id = ${id} AND state = 'pending'`)
    return { kind: 'changed', endpoint }
  }
  try {
    const result = await withRetry(() => database.prisma.$transaction(change))
    if (enabled === false) await abandonUnwanted(database, id)
    return result
  } catch (error) {
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
}

/** What was still to be sent to it has failed. */
export async function deleteEndpoint(database: Database, id: string): Promise<void> {
  const now = new Date()
  const data = { deletedAt: now, disabledAt: now, secret: '', previousSecrets: [] }
  await database.prisma.webhookEndpoint.update({ where: { id }, data })
  await abandonUnwanted(database, id)
}

/** Gives it another secret (rotation.ts). Null: it was deleted. */
export async function rotateSecret(
  { prisma }: Database,
  id: string,
  sealedSecret: string,
  overlapMs: number,
): Promise<WebhookEndpoint | null> {
  await prisma.$executeRaw`
    UPDATE webhook_endpoints SET ${rotation('secret', sealedSecret, overlapMs)} WHERE id = ${id} AND deleted_at IS NULL`
  return await prisma.webhookEndpoint.findFirst({ where: { id, deletedAt: null } })
}

/** Owes the endpoint a test event. @returns the delivery's id */
export async function testEndpoint(
  { prisma }: Database,
  { id, url }: Pick<WebhookEndpoint, 'id' | 'url'>,
): Promise<string> {
  return await prisma.$transaction(async (tx) => {
    const eventId = await recordEndpointEvent(tx, id, ENDPOINT_TEST, { endpoint_id: id })
    const deliveryId = newId('delivery')
    await tx.$executeRaw`
      INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, next_attempt_at, due_at)
      SELECT ${deliveryId}, project_id, id, endpoint_id, ${url}, now(), now() FROM events WHERE id = ${eventId}`
    return deliveryId
  })
}

/** Where an attempt was made: what it met there says nothing about an endpoint that has moved since. */
interface Attempted {
  readonly id: string
  readonly url: string
}

/** How long nothing but failures is put up with. */
export const FAILING_MAX_MS = 5 * 24 * 3_600_000

/**
 * Disables an endpoint that is gone, or that has done nothing but fail for days, once, and tells the project through its others. A failure
 * after days without traffic is none of many: something must have been tried in vain for a day.
 * @returns the deliveries owed, to be woken; null when it was not to be disabled
 */
export async function disableEndpoint(
  database: Database,
  { id, url }: Attempted,
  reason: Exclude<DisabledReason, 'by_request'>,
): Promise<string[] | null> {
  const isDue =
    reason === 'gone'
      ? Prisma.sql`true`
      : Prisma.sql`failing_since < now() - ${FAILING_MAX_MS} * interval '1 ms' AND EXISTS (
          SELECT 1 FROM deliveries WHERE endpoint_id = webhook_endpoints.id AND state = 'pending' AND pending_since < now() - interval '1 day')`
  const disable = async (tx: Sql) => {
    const [row] = await tx.$queryRaw<{ failingSince: Date | null }[]>`
      UPDATE webhook_endpoints SET disabled_at = now(), disabled_reason = ${reason}
      WHERE id = ${id} AND url = ${url} AND disabled_at IS NULL AND ${isDue} RETURNING failing_since AS "failingSince"`
    if (!row) return null
    const failing = row.failingSince?.toISOString() ?? null
    const facts = { endpoint_id: id, url, reason, failing_since: failing }
    const eventId = await recordEndpointEvent(tx, id, ENDPOINT_DISABLED, facts)
    const owed = await tx.$queryRaw<{ id: string }[]>`
      WITH fact AS (SELECT id, project_id, type, NULL::text AS webhook_url FROM events WHERE id = ${eventId}), owed AS (${OWED_DELIVERIES})
      SELECT id FROM owed`
    return owed.map((delivery) => delivery.id)
  }
  const owed = await withRetry(() => database.prisma.$transaction(disable))
  if (owed !== null) await abandonUnwanted(database, id)
  return owed
}

/** Notes that it fails from now on, or that it works again; writes nothing where that is known. */
export async function noteFailing({ prisma }: Database, { id, url }: Attempted, failing: boolean): Promise<void> {
  await prisma.$executeRaw`
    UPDATE webhook_endpoints SET failing_since = CASE WHEN ${failing} THEN now() END
    WHERE id = ${id} AND url = ${url} AND (failing_since IS NULL) = ${failing}`
}

async function recordEndpointEvent(tx: Sql, endpointId: string, type: string, data: object): Promise<string> {
  const eventId = newId('event')
  await tx.$executeRaw`
    WITH subject AS (UPDATE webhook_endpoints SET event_seq = event_seq + 1 WHERE id = ${endpointId} RETURNING project_id, event_seq)
    INSERT INTO events (id, project_id, endpoint_id, sequence, type, data)
    SELECT ${eventId}, project_id, ${endpointId}, event_seq, ${type}, ${JSON.stringify(data)}::jsonb FROM subject`
  return eventId
}
