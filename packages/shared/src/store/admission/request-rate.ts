// The limit of requests to the upstream in a minute, over all workers.

import type { Database } from '../database.ts'
import { sql } from '../sql.ts'

/**
 * Takes up to `wanted` requests out of `perMinute`, over all workers. Unused requests are saved for up to ten seconds.
 * @returns the number of requests that may be sent now
 */
export async function takeRequests(
  { prisma }: Database,
  upstream: string,
  wanted: number,
  perMinute: number,
): Promise<number> {
  const burst = Math.max(1, perMinute / 6)
  const take = () =>
    prisma.$queryRaw<{ taken: number }[]>(sql.named('takeRequests')`
      WITH gate AS (
        SELECT least(
          ${burst}::float8,
          coalesce(
            requests
              + ${perMinute / 60}::float8 * extract(
                epoch FROM clock_timestamp() - requests_at
              )::float8,
            ${burst}::float8
          )
        ) AS available
        FROM upstream_gates
        WHERE upstream = ${upstream}
        FOR UPDATE
      )
      UPDATE upstream_gates
      SET requests_at = clock_timestamp(), requests = available - least(${wanted}, floor(available))
      FROM gate
      WHERE upstream = ${upstream}
      RETURNING least(${wanted}, floor(available))::int AS taken`)
  const [row] = await take()
  if (row) return Math.max(0, row.taken)
  await prisma.$executeRaw(sql.named('addGateOfRequests')`
    INSERT INTO upstream_gates (upstream)
    VALUES (${upstream})
    ON CONFLICT DO NOTHING`)
  return (await take())[0]?.taken ?? 0
}

/** Gives back taken requests that were not sent. */
export async function giveBackRequests({ prisma }: Database, upstream: string, unused: number): Promise<void> {
  await prisma.$executeRaw(sql.named('giveBackRequests')`
    UPDATE upstream_gates
    SET requests = requests + ${unused}
    WHERE upstream = ${upstream}`)
}
