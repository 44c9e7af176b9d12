// The URL of a delivery whose endpoint has moved.

import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import type { ClaimedRow } from './claimed-delivery.ts'

/**
 * One event goes to one URL once: when the endpoint's new URL already has a delivery of the event, the old delivery
 * keeps its URL.
 */
export const PRESENT_URL = Prisma.sql`
  coalesce(
    (
      SELECT endpoint.url
      FROM webhook_endpoints endpoint
      WHERE endpoint.id = deliveries.endpoint_id
        AND NOT EXISTS (
          SELECT 1
          FROM deliveries other
          WHERE other.event_id = deliveries.event_id AND other.url = endpoint.url
        )
    ),
    url
  )`

/**
 * Changes the URL of claimed deliveries whose endpoint has moved. The change is made here and not when the endpoint
 * moves: hundreds of thousands of deliveries may be pending.
 * @returns the URL by delivery id, or an Error when the URL could not be written
 */
export async function moveDeliveries(
  prisma: Database['prisma'],
  rows: readonly Pick<ClaimedRow, 'id' | 'url' | 'endpointUrl'>[],
): Promise<Map<string, string | Error>> {
  const ids = rows.filter(({ url, endpointUrl }) => endpointUrl !== null && endpointUrl !== url).map(({ id }) => id)
  const move = async (some: readonly string[]) =>
    await withRetry(() =>
      prisma.$queryRaw<{ id: string; url: string }[]>(sql.named('moveDeliveries')`
        UPDATE deliveries
        SET url = ${PRESENT_URL}
        -- Locked in one order, as everywhere: no two can wait for each other.
        WHERE id = ANY (
          ARRAY(SELECT id FROM deliveries WHERE id = ANY (${some}::text[]) ORDER BY id FOR UPDATE)
        )
        RETURNING id, url`),
    )
  const moved = new Map<string, string | Error>()
  if (ids.length === 0) return moved
  try {
    for (const { id, url } of await move(ids)) moved.set(id, url)
  } catch {
    // Single-row fallback: a row that cannot be written must not fail the other rows.
    for (const one of ids) {
      const [row] = await move([one]).catch((cause: unknown) => [
        { id: one, url: new Error('its URL cannot be changed', { cause }) },
      ])
      if (row) moved.set(one, row.url)
    }
  }
  return moved
}
