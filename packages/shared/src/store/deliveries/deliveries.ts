// Deliveries before their claim.

import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isCoolingDown } from './cool-downs.ts'

/** The facts about a delivery that are needed before its claim. */
export interface DispatchedDelivery {
  readonly projectId: string
  /** The origin: the project, and the scheme, host and port of the URL. */
  readonly origin: string
  /** An attempt is due. Otherwise another worker was first; more deliveries to the same origin may be due. */
  readonly isDue: boolean
  /** The origin does not answer and is in its cool-down. */
  readonly isCoolingDown: boolean
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
export async function findDispatchedDeliveries(
  { prisma }: Database,
  ids: readonly string[],
): Promise<(DispatchedDelivery | null)[]> {
  const rows = await prisma.$queryRaw<(DispatchedDelivery & { id: string })[]>(sql.named(
    'findDispatchedDeliveries',
    'prepared',
  )`
    SELECT id, project_id AS "projectId", target AS origin,
      next_attempt_at IS NOT NULL AND next_attempt_at <= now() AS "isDue",
      ${isCoolingDown('deliveries.target')} AS "isCoolingDown",
      CASE WHEN state = 'pending' AND ${UNWANTED} THEN endpoint_id END AS "unwantedEndpointId"
    FROM deliveries
    WHERE id = ANY (${ids}::text[])`)
  const byId = new Map(rows.map(({ id, ...dispatched }) => [id, dispatched]))
  return ids.map((id) => byId.get(id) ?? null)
}
