// Webhook endpoints of a project: created, changed, rotated, disabled. A deleted endpoint stays for its log, without
// its secrets.

import { changedHeaders, HEADERS_MAX, type HeaderChanges } from '@reelqueue/contract/terms/custom-headers'
import { type Database, isUniqueViolation, type Sql, withRetry } from '../database.ts'
import type { WebhookEndpoint, WebhookPayload } from '../generated/client.ts'
import { rotation } from '../rotation.ts'
import { sql } from '../sql.ts'
import { endCoolDown } from './cool-downs.ts'
import { cancelUnwanted } from './delivery-ends.ts'
import { isSameOrigin, readSealedHeaders } from './endpoint-headers.ts'

export type { WebhookEndpoint }

export interface NewEndpoint {
  /** The secrets of the endpoint are sealed for this id. */
  readonly id: string
  readonly projectId: string
  readonly url: string
  readonly description: string | null
  /** Empty: the event types that are delivered by default. */
  readonly eventTypes: readonly string[]
  readonly sealedSecret: string
  /** Absent: full. */
  readonly payload?: WebhookPayload | undefined
  /** Sealed values by header name in lower case. */
  readonly sealedHeaders?: Readonly<Record<string, string>> | undefined
}

export type CreateEndpointResult =
  | { readonly kind: 'created'; readonly endpoint: WebhookEndpoint }
  /** The URL belongs to another endpoint, or the project has the maximum number of endpoints. */
  | { readonly kind: 'taken' | 'too_many' }

/** Every endpoint receives every event, so the number is small. */
const ENDPOINTS_MAX = 50
/**
 * The first key of the advisory locks for counting a project's endpoints: an arbitrary number, the same in every
 * process.
 */
const COUNT_LOCKS = 7_302

export async function createEndpoint({ prisma }: Database, row: NewEndpoint): Promise<CreateEndpointResult> {
  const { id, projectId, url, description, eventTypes, sealedSecret: secret, payload, sealedHeaders: headers } = row
  const named = { ...(payload && { payload }), ...(headers && { headers }) }
  const data = { id, projectId, url, description, eventTypes: [...eventTypes], secret, ...named }
  try {
    return await prisma.$transaction(async (tx) => {
      // One at a time: otherwise concurrent requests would all count before the first insert. The lock is not the
      // project's row, because admission writes the row.
      await tx.$executeRaw(
        sql.named('lockEndpointCount')`
          SELECT pg_advisory_xact_lock(${COUNT_LOCKS}, hashtext(${projectId}))`,
      )
      if ((await tx.webhookEndpoint.count({ where: { projectId, deletedAt: null } })) >= ENDPOINTS_MAX)
        return { kind: 'too_many' }
      return { kind: 'created', endpoint: await tx.webhookEndpoint.create({ data }) }
    })
  } catch (error) {
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
}

/** One endpoint of the project, or null. A deleted endpoint, or an endpoint of another project, counts as unknown. */
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
  /** For deliveries created from now on. */
  readonly payload?: WebhookPayload | undefined
  /** With sealed values. */
  readonly headers?: HeaderChanges | 'all' | undefined
}

export type ChangeEndpointResult =
  | { readonly kind: 'changed'; readonly endpoint: WebhookEndpoint }
  | { readonly kind: 'taken' | 'gone' | 'too_many_headers' }
  /** The URL moves to another origin, and the request does not say what to do with the present headers. */
  | { readonly kind: 'headers_left_behind' }

/**
 * Changes the given fields. A new URL also holds for pending deliveries (read at their claim) and clears the failures;
 * so does enabling. Headers never follow to another origin: the request must give the headers again, or remove them.
 */
export async function changeEndpoint(
  database: Database,
  id: string,
  { url, description, eventTypes, enabled, payload, headers }: EndpointChanges,
): Promise<ChangeEndpointResult> {
  const change = async (tx: Sql & Pick<Database['prisma'], 'webhookEndpoint'>): Promise<ChangeEndpointResult> => {
    // The endpoint is locked before its deliveries, as everywhere, so two transactions cannot wait for each other. NO
    // KEY: moves that create deliveries for the endpoint go on.
    const [before] = await tx.$queryRaw<{ url: string; headers: unknown; isDisabled: boolean }[]>(sql.named(
      'lockEndpoint',
    )`
      SELECT url, headers, disabled_at IS NOT NULL AS "isDisabled"
      FROM webhook_endpoints
      WHERE id = ${id} AND deleted_at IS NULL
      FOR NO KEY UPDATE`)
    if (!before) return { kind: 'gone' }
    const moves = url !== undefined && url !== before.url
    const present = readSealedHeaders(before.headers)
    const leaves = moves && Object.keys(present).length > 0 && !isSameOrigin(url, before.url)
    if (leaves && headers === undefined) return { kind: 'headers_left_behind' }
    const nextHeaders = headers && changedHeaders(leaves ? {} : present, headers)
    if (nextHeaders && Object.keys(nextHeaders).length > HEADERS_MAX) return { kind: 'too_many_headers' }
    const endpoint = await tx.webhookEndpoint.update({
      where: { id },
      data: {
        ...(moves && { url, failingSince: null }),
        ...(description !== undefined && { description }),
        ...(eventTypes !== undefined && { eventTypes: [...eventTypes] }),
        ...(payload !== undefined && { payload }),
        ...(nextHeaders && { headers: nextHeaders }),
        ...(enabled === true && { disabledAt: null, disabledReason: null, failingSince: null }),
        ...(enabled === false && !before.isDisabled && { disabledAt: new Date(), disabledReason: 'by_request' }),
      },
    })
    if (moves) await endCoolDown(tx, endpoint.projectId, before.url)
    return { kind: 'changed', endpoint }
  }
  try {
    const result = await withRetry(() => database.prisma.$transaction(change))
    if (enabled === false) await cancelUnwanted(database, id)
    return result
  } catch (error) {
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
}

/** Deletes an endpoint. Its pending deliveries fail. */
export async function deleteEndpoint(database: Database, id: string): Promise<void> {
  const now = new Date()
  const data = { deletedAt: now, disabledAt: now, secret: '', previousSecrets: [], headers: {} }
  await database.prisma.webhookEndpoint.update({ where: { id }, data })
  await cancelUnwanted(database, id)
}

/** Gives the endpoint a new secret (rotation.ts). Null: the endpoint was deleted. */
export async function rotateSecret(
  { prisma }: Database,
  id: string,
  sealedSecret: string,
  overlapMs: number,
): Promise<WebhookEndpoint | null> {
  await prisma.$executeRaw(sql.named('rotateEndpointSecret')`
    UPDATE webhook_endpoints
    SET ${rotation('secret', sealedSecret, overlapMs)}
    WHERE id = ${id} AND deleted_at IS NULL`)
  return await prisma.webhookEndpoint.findFirst({ where: { id, deletedAt: null } })
}
