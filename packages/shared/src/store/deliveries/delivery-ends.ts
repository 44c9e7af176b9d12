// Deliveries that end without an attempt: the endpoint is disabled or deleted, or the origin has not answered for days.
// There may be hundreds of thousands, so the deliveries end page by page.

import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'
import { UNWANTED } from './deliveries.ts'

/** Rows of one statement. */
const CANCEL_PAGE = 5_000

/**
 * Ends a page of the pending deliveries of a disabled or deleted endpoint, as failed. A failed delivery can be
 * redelivered.
 * @returns whether more deliveries may be pending; reconcile goes on with the next page
 */
export async function cancelUnwanted(database: Database, endpointId: string): Promise<boolean> {
  // Without an order and without locked rows: a page reads only its own rows and waits for no lock.
  const ended = await failDeliveries(
    database,
    (among) => Prisma.sql`
      SELECT id
      FROM deliveries
      WHERE endpoint_id = ${endpointId}
        AND state = 'pending'
        AND ${UNWANTED}
        AND ${isStorable('deliveries.id')} ${among}
      LIMIT ${CANCEL_PAGE}
      FOR UPDATE SKIP LOCKED`,
  )
  return ended === CANCEL_PAGE
}

/**
 * Ends deliveries as failed without an attempt. @param pick a query for the ids, restricted by `among` @returns the
 * number of ended deliveries
 */
async function failDeliveries(database: Database, pick: (among: Prisma.Sql) => Prisma.Sql): Promise<number> {
  const ended = await claimStorable(database, 'end', pick, (picked) =>
    withRetry(() =>
      database.prisma.$queryRaw<{ id: string }[]>(sql.named('failDeliveries')`
        UPDATE deliveries
        SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now()
        WHERE id = ANY (ARRAY(${picked}))
        RETURNING id`),
    ),
  )
  return ended.length
}

/** Rows and pages of one call. */
const GIVE_UP_PAGE = 1_000
const GIVE_UP_PAGES_MAX = 20
/** A delivery is given up after being due for this long, when its origin does not answer. */
const DUE_MAX = Prisma.raw(`interval '5 days'`)

/** Ends as failed the deliveries that have been due for days: up to 20,000 of one origin, the longest due first. */
export async function giveUpWaiting(database: Database, origin: string): Promise<void> {
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM deliveries
    WHERE target = ${origin}
      AND state = 'pending'
      AND next_attempt_at < now() - ${DUE_MAX}
      AND ${isStorable('deliveries.id')} ${among}
    ORDER BY next_attempt_at
    LIMIT ${GIVE_UP_PAGE}
    FOR UPDATE SKIP LOCKED`
  for (let page = 0; page < GIVE_UP_PAGES_MAX; page++) if ((await failDeliveries(database, pick)) < GIVE_UP_PAGE) return
}

/** Endpoints that were disabled in the last day and still have pending deliveries. */
export async function findUnwanted({ prisma }: Database): Promise<string[]> {
  const rows = await prisma.$queryRaw<{ id: string }[]>(sql.named('findUnwanted')`
    SELECT id
    FROM webhook_endpoints
    WHERE disabled_at > now() - interval '1 day'
      AND EXISTS (
        SELECT 1
        FROM deliveries
        WHERE endpoint_id = webhook_endpoints.id AND state = 'pending'
      )`)
  return rows.map(({ id }) => id)
}
