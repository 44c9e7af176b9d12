// What the log adds to pending deliveries: the reason for the wait, and the present URL.

import type { Database } from '../database.ts'
import type { Delivery, DeliveryAttempt } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { findCoolDowns } from './cool-downs.ts'
import { PRESENT_URL } from './moved-urls.ts'

export interface LoggedDelivery extends Delivery {
  readonly event: { readonly type: string; readonly generationId: string | null; readonly batchId: string | null }
  /** The endpoint is disabled or deleted. */
  readonly isUnwanted: boolean
  /** The delivery has been due for a moment, and other deliveries to its origin are under way. */
  readonly isBehindOthers: boolean
  /** The delivery is due, and its origin is in a cool-down until then. */
  readonly coolDownUntil: Date | null
  /** The last attempt first. */
  readonly log: readonly DeliveryAttempt[]
}

type ReadDelivery = Omit<LoggedDelivery, 'isUnwanted' | 'isBehindOthers' | 'coolDownUntil'> & {
  readonly endpoint: { readonly disabledAt: Date | null; readonly url: string } | null
}

/** A worker begins a due delivery within milliseconds, unless something keeps the delivery waiting. */
const DUE_FOR_A_MOMENT_MS = 1_000

/**
 * Adds facts that are not on the row: why the delivery waits, and its present URL. Costs statements only when a
 * delivery is due or its endpoint has moved.
 */
export async function withHolds(prisma: Database['prisma'], rows: readonly ReadDelivery[]): Promise<LoggedDelivery[]> {
  const now = Date.now()
  const originsDueBefore = (at: number) => {
    const due = rows.filter(({ nextAttemptAt }) => nextAttemptAt !== null && nextAttemptAt.getTime() <= at)
    return [...new Set(due.map((row) => row.origin))]
  }
  const moving = rows.filter((row) => row.state === 'pending' && row.endpoint && row.endpoint.url !== row.url)
  const [busy, coolDowns, urls] = await Promise.all([
    busyOrigins({ prisma }, originsDueBefore(now - DUE_FOR_A_MOMENT_MS)),
    findCoolDowns({ prisma }, originsDueBefore(now)),
    presentUrls(
      prisma,
      moving.map(({ id }) => id),
    ),
  ])
  return rows.map(({ endpoint, ...row }) => ({
    ...row,
    url: urls.get(row.id) ?? row.url,
    isUnwanted: endpoint !== null && endpoint.disabledAt !== null,
    isBehindOthers: busy.has(row.origin),
    coolDownUntil: coolDowns.get(row.origin) ?? null,
  }))
}

/** The URL of each delivery at its next claim. A new URL of an endpoint is not written to pending deliveries. */
async function presentUrls(prisma: Database['prisma'], ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await prisma.$queryRaw<{ id: string; url: string }[]>(sql.named('presentUrls')`
    SELECT id, ${PRESENT_URL} AS url
    FROM deliveries
    WHERE id = ANY (${ids}::text[])`)
  return new Map(rows.map(({ id, url }) => [id, url]))
}

/**
 * The number of pending deliveries of one origin that are looked at. Leases are short, so deliveries under way come
 * first.
 */
const NEXT_MAX = 200

/** The origins with a delivery under way: its attempt has begun and is not in the log yet. */
export async function busyOrigins(
  { prisma }: Pick<Database, 'prisma'>,
  origins: readonly string[],
): Promise<Set<string>> {
  if (origins.length === 0) return new Set()
  const rows = await prisma.$queryRaw<{ origin: string }[]>(sql.named('busyOrigins')`
    SELECT asked.target AS origin
    FROM unnest(${origins}::text[]) AS asked (target)
    WHERE EXISTS (
      SELECT 1
      FROM (
        SELECT id, attempts
        FROM deliveries
        WHERE target = asked.target
          AND state = 'pending'
          AND next_attempt_at > now()
          AND attempts > attempts_before
        ORDER BY next_attempt_at
        LIMIT ${NEXT_MAX}
      ) next
      WHERE NOT EXISTS (
        SELECT 1
        FROM delivery_attempts
        WHERE delivery_id = next.id AND number = next.attempts
      )
    )`)
  return new Set(rows.map((row) => row.origin))
}
