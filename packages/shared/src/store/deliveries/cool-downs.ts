// Cool-downs of origins that do not answer: one row for each origin, for any number of due deliveries. Claims and
// reconcile skip an origin in its cool-down. The times of the deliveries stay unchanged.

import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

/** SQL condition: the origin is in its cool-down. @param target the column with the origin */
export const isCoolingDown = (origin: string) =>
  Prisma.raw(`EXISTS (SELECT 1 FROM target_rests rest WHERE rest.target = ${origin} AND rest.until > now())`)

/** Starts a cool-down of an origin for once to twice `forMs`, for all workers. A longer cool-down stays. */
export async function startCoolDown({ prisma }: Database, origin: string, forMs: number): Promise<void> {
  await withRetry(() =>
    prisma.$executeRaw(sql.named('startCoolDown')`
      INSERT INTO target_rests (target, until)
      VALUES (${origin}, now() + ${forMs} * (1 + random()) * interval '1 ms')
      ON CONFLICT (target) DO UPDATE
      SET until = greatest(target_rests.until, excluded.until)`),
  )
}

/** The ends of the present cool-downs of these origins, by origin. */
export async function findCoolDowns(
  { prisma }: Pick<Database, 'prisma'>,
  origins: readonly string[],
): Promise<Map<string, Date>> {
  if (origins.length === 0) return new Map()
  const rows = await prisma.$queryRaw<{ origin: string; until: Date }[]>(sql.named('findCoolDowns')`
    SELECT target AS origin, until
    FROM target_rests
    WHERE target = ANY (${origins}::text[]) AND until > now()`)
  return new Map(rows.map(({ origin, until }) => [origin, until]))
}

/** Ends the cool-down of a URL's origin: the deliveries go to another URL now, so they need not wait. */
export async function endCoolDown(tx: Sql, projectId: string, url: string): Promise<void> {
  // The same expression as the generated column `target` of `deliveries`.
  await tx.$executeRaw(sql.named('endCoolDown')`
    DELETE FROM target_rests
    WHERE target = ${projectId}
      || ' '
      || lower(coalesce(substring(${url} from '^[^:]+://[^/?#]+'), ''))`)
}

/** Rows of one statement. */
const PAGE = 1_000

/** Deletes cool-downs that are over. Otherwise the rows of origins without new deliveries would stay for ever. */
export async function purgeCoolDowns({ prisma }: Database): Promise<void> {
  await prisma.$executeRaw(sql.named('purgeCoolDowns')`
    DELETE FROM target_rests
    WHERE target = ANY (
      ARRAY(
        SELECT target
        FROM target_rests
        WHERE until < now() - interval '1 minute'
        ORDER BY until
        LIMIT ${PAGE}
        FOR UPDATE SKIP LOCKED
      )
    )`)
}
