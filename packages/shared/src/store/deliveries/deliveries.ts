// Deliveries before their claim.

import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { rests } from './target-rests.ts'

/** The facts about a delivery that are needed before its claim. */
export interface WokenDelivery {
  readonly projectId: string
  /** The origin: the project, and the scheme, host and port of the URL. */
  readonly target: string
  /** An attempt is due. Otherwise another worker was first; more deliveries to the same origin may be due. */
  readonly isDue: boolean
  /** The origin does not answer and is in its cool-down. */
  readonly isResting: boolean
  /** The endpoint of a pending delivery, if the endpoint is disabled or deleted; otherwise null. */
  readonly unwantedEndpointId: string | null
}

/** SQL condition: the endpoint of the delivery is disabled or deleted. */
export const UNWANTED = Prisma.sql`
  EXISTS (
    SELECT 1
    FROM webhook_endpoints endpoint
    WHERE endpoint.id = deliveries.endpoint_id AND endpoint.disabled_at IS NOT NULL
  )`

/** Reads the deliveries of queue jobs, in the order of `ids`; null for a deleted delivery. */
export async function findWokenDeliveries(
  { prisma }: Database,
  ids: readonly string[],
): Promise<(WokenDelivery | null)[]> {
  const rows = await prisma.$queryRaw<(WokenDelivery & { id: string })[]>(sql.named('findWokenDeliveries', 'prepared')`
    SELECT id, project_id AS "projectId", target,
      next_attempt_at IS NOT NULL AND next_attempt_at <= now() AS "isDue",
      ${rests('deliveries.target')} AS "isResting",
      CASE WHEN state = 'pending' AND ${UNWANTED} THEN endpoint_id END AS "unwantedEndpointId"
    FROM deliveries
    WHERE id = ANY (${ids}::text[])`)
  const byId = new Map(rows.map(({ id, ...woken }) => [id, woken]))
  return ids.map((id) => byId.get(id) ?? null)
}
