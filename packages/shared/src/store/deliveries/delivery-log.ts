// The log of deliveries: lists, single deliveries with their attempts, and redelivery.

import { idBefore } from '@reelqueue/contract/terms/ids'
import type { RowToEnqueue } from '../../domain/wake-up.ts'
import { type Database, withRetry } from '../database.ts'
import { type Delivery, type DeliveryAttempt, Prisma } from '../generated/client.ts'
import { WOKEN_PER_TARGET } from './fan-out.ts'
import { PRESENT_URL } from './moved-urls.ts'
import { findRests } from './target-rests.ts'

export interface LoggedDelivery extends Delivery {
  readonly event: { readonly type: string; readonly generationId: string | null; readonly batchId: string | null }
  /** The endpoint is disabled or deleted. */
  readonly isUnwanted: boolean
  /** The delivery has been due for a moment, and other deliveries to its origin are under way. */
  readonly isBehindOthers: boolean
  /** The delivery is due, and its origin is in a cool-down until then. */
  readonly restsUntil: Date | null
  /** The last attempt first. */
  readonly log: readonly DeliveryAttempt[]
}

export interface DeliveryFilters {
  readonly state?: Delivery['state'] | undefined
  readonly endpointId?: string | undefined
  readonly generationId?: string | undefined
  readonly batchId?: string | undefined
}

const EVENT = { select: { type: true, generationId: true, batchId: true } }
const ENDPOINT = { select: { disabledAt: true, url: true } }
/** The events of one generation or batch are few, unless a generation was retried without end. */
const EVENTS_MAX = 1_000

/** Up to `limit` deliveries older than `before`, newest first, each with its last attempt. */
export async function listDeliveries(
  { prisma }: Database,
  projectId: string,
  { state, endpointId, generationId, batchId }: DeliveryFilters,
  limit: number,
  before?: string,
): Promise<LoggedDelivery[]> {
  const isAboutOne = generationId !== undefined || batchId !== undefined
  const events = isAboutOne
    ? await prisma.event.findMany({
        where: { projectId, ...(generationId && { generationId }), ...(batchId && { batchId }) },
        select: { id: true },
        take: EVENTS_MAX,
      })
    : []
  const ids = await prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM deliveries WHERE project_id = ${projectId}
      ${isAboutOne ? Prisma.sql`AND event_id = ANY (${events.map((event) => event.id)}::text[])` : Prisma.empty}
      ${endpointId === undefined ? Prisma.empty : Prisma.sql`AND endpoint_id = ${endpointId}`}
      ${state === undefined ? Prisma.empty : STATE_IS[state]}
      ${before === undefined ? Prisma.empty : Prisma.sql`AND id < ${before}`}
    ORDER BY id DESC LIMIT ${limit}`
  const rows = await prisma.delivery.findMany({
    where: { id: { in: ids.map((row) => row.id) } },
    orderBy: { id: 'desc' },
    include: { event: EVENT, endpoint: ENDPOINT, log: { orderBy: { number: 'desc' }, take: 1 } },
  })
  return await withHolds(prisma, rows)
}

/** Written out, because a partial index serves deliveries that have not succeeded. */
const STATE_IS = {
  pending: Prisma.raw(`AND state = 'pending'`),
  failed: Prisma.raw(`AND state = 'failed'`),
  succeeded: Prisma.raw(`AND state = 'succeeded'`),
} as const

/** One delivery of the project with all its attempts, or null. */
export async function findDelivery(
  { prisma }: Database,
  projectId: string,
  id: string,
): Promise<LoggedDelivery | null> {
  const row = await prisma.delivery.findFirst({
    where: { id, projectId },
    include: { event: EVENT, endpoint: ENDPOINT, log: { orderBy: { number: 'desc' } } },
  })
  const [held] = row === null ? [] : await withHolds(prisma, [row])
  return held ?? null
}

type ReadDelivery = Omit<LoggedDelivery, 'isUnwanted' | 'isBehindOthers' | 'restsUntil'> & {
  readonly endpoint: { readonly disabledAt: Date | null; readonly url: string } | null
}

/** A worker begins a due delivery within milliseconds, unless something keeps the delivery waiting. */
const DUE_FOR_A_MOMENT_MS = 1_000

/**
 * Adds facts that are not on the row: why the delivery waits, and its present URL. Costs statements only when a
 * delivery is due or its endpoint has moved.
 */
async function withHolds(prisma: Database['prisma'], rows: readonly ReadDelivery[]): Promise<LoggedDelivery[]> {
  const now = Date.now()
  const targetsDueBefore = (at: number) => {
    const due = rows.filter(({ nextAttemptAt }) => nextAttemptAt !== null && nextAttemptAt.getTime() <= at)
    return [...new Set(due.map((row) => row.target))]
  }
  const moving = rows.filter((row) => row.state === 'pending' && row.endpoint && row.endpoint.url !== row.url)
  const [busy, resting, urls] = await Promise.all([
    busyTargets({ prisma }, targetsDueBefore(now - DUE_FOR_A_MOMENT_MS)),
    findRests({ prisma }, targetsDueBefore(now)),
    presentUrls(
      prisma,
      moving.map(({ id }) => id),
    ),
  ])
  return rows.map(({ endpoint, ...row }) => ({
    ...row,
    url: urls.get(row.id) ?? row.url,
    isUnwanted: endpoint !== null && endpoint.disabledAt !== null,
    isBehindOthers: busy.has(row.target),
    restsUntil: resting.get(row.target) ?? null,
  }))
}

/** The URL of each delivery at its next claim. A new URL of an endpoint is not written to pending deliveries. */
async function presentUrls(prisma: Database['prisma'], ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await prisma.$queryRaw<{ id: string; url: string }[]>`
    SELECT id, ${PRESENT_URL} AS url FROM deliveries WHERE id = ANY (${ids}::text[])`
  return new Map(rows.map(({ id, url }) => [id, url]))
}

/**
 * The number of pending deliveries of one origin that are looked at. Leases are short, so deliveries under way come
 * first.
 */
const NEXT_MAX = 200

/** The origins with a delivery under way: its attempt has begun and is not in the log yet. */
export async function busyTargets(
  { prisma }: Pick<Database, 'prisma'>,
  targets: readonly string[],
): Promise<Set<string>> {
  if (targets.length === 0) return new Set()
  const rows = await prisma.$queryRaw<{ target: string }[]>`
    SELECT asked.target FROM unnest(${targets}::text[]) AS asked (target) WHERE EXISTS (
      SELECT 1 FROM (
        SELECT id, attempts FROM deliveries
        WHERE target = asked.target AND state = 'pending' AND next_attempt_at > now() AND attempts > attempts_before
        ORDER BY next_attempt_at LIMIT ${NEXT_MAX}) next
      WHERE NOT EXISTS (
        SELECT 1 FROM delivery_attempts WHERE delivery_id = next.id AND number = next.attempts))`
  return new Set(rows.map((row) => row.target))
}

/**
 * Starts at the first step of the schedule, for the present URL of the endpoint. The attempts so far stay in the log.
 */
const ANEW = Prisma.sql`state = 'pending', attempts_before = attempts, pending_since = now(), next_attempt_at = now(), due_at = now(),
  finished_at = NULL, wakes = wakes + 1, url = ${PRESENT_URL}`

/**
 * Redelivers a delivery that has ended, even with success. A pending delivery is due at once. @returns the dispatch
 * count
 */
export async function redeliver({ prisma }: Database, id: string): Promise<number> {
  const [row] = await prisma.$queryRaw<{ wakes: number }[]>`
    UPDATE deliveries SET ${ANEW} WHERE id = ${id} RETURNING wakes`
  if (!row) throw new Error(`there is no delivery ${id}`)
  return row.wakes
}

/** Rows of one statement. */
const REDELIVER_PAGE = 1_000

/**
 * Redelivers the failed deliveries of an endpoint that were created since then, page by page. @returns the number of
 * deliveries
 */
export async function redeliverFailed(
  { prisma }: Database,
  { id: endpointId, projectId }: { readonly id: string; readonly projectId: string },
  since: Date,
): Promise<number> {
  let after = idBefore('delivery', Math.max(0, since.getTime()))
  for (let count = 0; ; ) {
    const rows = await withRetry(
      () => prisma.$queryRaw<{ id: string }[]>`
        UPDATE deliveries SET ${ANEW}
        WHERE id = ANY (ARRAY(
          SELECT id FROM deliveries WHERE project_id = ${projectId} AND state = 'failed' AND id > ${after}
            AND endpoint_id = ${endpointId} AND created_at >= ${since}
            AND EXISTS (SELECT 1 FROM webhook_endpoints WHERE id = ${endpointId} AND disabled_at IS NULL)
          ORDER BY id LIMIT ${REDELIVER_PAGE} FOR UPDATE))
        RETURNING id`,
    )
    count += rows.length
    if (rows.length < REDELIVER_PAGE) return count
    after =
      rows
        .map(({ id }) => id)
        .sort()
        .at(-1) ?? after
  }
}

/** Enough jobs for the due deliveries of an endpoint: the worker's drain loop goes on with the rest. */
export async function someToWake({ prisma }: Database, endpointId: string): Promise<RowToEnqueue[]> {
  return await prisma.$queryRaw<RowToEnqueue[]>`
    SELECT id, wakes FROM deliveries WHERE endpoint_id = ${endpointId} AND state = 'pending' AND next_attempt_at <= now()
    LIMIT ${WOKEN_PER_TARGET}`
}
