// The log of deliveries: lists, single deliveries with their attempts, and redelivery.

import type { Database } from '../database.ts'
import { type Delivery, Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { type LoggedDelivery, withHolds } from './delivery-holds.ts'

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
  const eventIds = events.map((event) => event.id)
  const ids = await prisma.$queryRaw<{ id: string }[]>(sql.named('listDeliveries')`
    SELECT id
    FROM deliveries
    WHERE project_id = ${projectId}
      ${isAboutOne ? Prisma.sql`AND event_id = ANY (${eventIds}::text[])` : Prisma.empty}
      ${endpointId === undefined ? Prisma.empty : Prisma.sql`AND endpoint_id = ${endpointId}`}
      ${state === undefined ? Prisma.empty : STATE_IS[state]}
      ${before === undefined ? Prisma.empty : Prisma.sql`AND id < ${before}`}
    ORDER BY id DESC
    LIMIT ${limit}`)
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
