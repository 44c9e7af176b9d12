// Deliveries that start again at the request of a caller.

import { idBefore } from '@reelqueue/contract/terms/ids'
import type { RowToEnqueue } from '../../domain/row-to-enqueue.ts'
import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { ENQUEUED_PER_ORIGIN } from './fan-out.ts'
import { PRESENT_URL } from './moved-urls.ts'

/**
 * Starts at the first step of the schedule, for the present URL of the endpoint. The attempts so far stay in the log.
 */
const ANEW = Prisma.sql`
  state = 'pending', attempts_before = attempts, pending_since = now(), next_attempt_at = now(),
  due_at = now(), finished_at = NULL, wakes = wakes + 1, url = ${PRESENT_URL}`

/**
 * Redelivers a delivery that has ended, even with success. A pending delivery is due at once. @returns the dispatch
 * count
 */
export async function redeliver({ prisma }: Database, id: string): Promise<number> {
  const [row] = await prisma.$queryRaw<{ dispatchCount: number }[]>(sql.named('redeliver')`
    UPDATE deliveries
    SET ${ANEW}
    WHERE id = ${id}
    RETURNING wakes AS "dispatchCount"`)
  if (!row) throw new Error(`there is no delivery ${id}`)
  return row.dispatchCount
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
    const rows = await withRetry(() =>
      prisma.$queryRaw<{ id: string }[]>(sql.named('redeliverFailed')`
        UPDATE deliveries
        SET ${ANEW}
        WHERE id = ANY (
          ARRAY(
            SELECT id
            FROM deliveries
            WHERE project_id = ${projectId}
              AND state = 'failed'
              AND id > ${after}
              AND endpoint_id = ${endpointId}
              AND created_at >= ${since}
              AND EXISTS (
                SELECT 1
                FROM webhook_endpoints
                WHERE id = ${endpointId} AND disabled_at IS NULL
              )
            ORDER BY id
            LIMIT ${REDELIVER_PAGE}
            FOR UPDATE
          )
        )
        RETURNING id`),
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
export async function someToEnqueue({ prisma }: Database, endpointId: string): Promise<RowToEnqueue[]> {
  return await prisma.$queryRaw<RowToEnqueue[]>(sql.named('someToEnqueue')`
    SELECT id, wakes AS "dispatchCount"
    FROM deliveries
    WHERE endpoint_id = ${endpointId} AND state = 'pending' AND next_attempt_at <= now()
    LIMIT ${ENQUEUED_PER_ORIGIN}`)
}
