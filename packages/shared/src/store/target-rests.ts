// Servers that are left alone because they do not answer: one row for each, however many deliveries are due for it. Claims and
// reconcile pass over such a server; a delivery's own times stay as they are.

import { type Database, type Sql, withRetry } from './database.ts'
import { Prisma } from './generated/client.ts'

/** That a server rests. @param target names the column with the server */
export const rests = (target: string) =>
  Prisma.raw(`EXISTS (SELECT 1 FROM target_rests rest WHERE rest.target = ${target} AND rest.until > now())`)

/** Lets a server rest for once or twice `forMs`, over all workers; a longer rest stays. */
export async function restTarget({ prisma }: Database, target: string, forMs: number): Promise<void> {
  await withRetry(
    () => prisma.$executeRaw`
      INSERT INTO target_rests (target, until) VALUES (${target}, now() + ${forMs} * (1 + random()) * interval '1 ms')
      ON CONFLICT (target) DO UPDATE SET until = greatest(target_rests.until, excluded.until)`,
  )
}

/** Of these servers those that rest, and until when. */
export async function findRests(
  { prisma }: Pick<Database, 'prisma'>,
  targets: readonly string[],
): Promise<Map<string, Date>> {
  if (targets.length === 0) return new Map()
  const rows = await prisma.$queryRaw<{ target: string; until: Date }[]>`
    SELECT target, until FROM target_rests WHERE target = ANY (${targets}::text[]) AND until > now()`
  return new Map(rows.map(({ target, until }) => [target, until]))
}

/** What was to go to a URL goes elsewhere from now on: its server's rest is no reason to wait. */
export async function endRest(sql: Sql, projectId: string, url: string): Promise<void> {
  // As the column of `deliveries` is made.
  await sql.$executeRaw`
    DELETE FROM target_rests WHERE target = ${projectId} || ' ' || lower(coalesce(substring(${url} from '^[^:]+://[^/?#]+'), ''))`
}

/** Rows of one statement. */
const PAGE = 1_000

/** Removes rests that are over: those of servers that nobody asks for any more would stay for ever. */
export async function forgetRests({ prisma }: Database): Promise<void> {
  await prisma.$executeRaw`
    DELETE FROM target_rests WHERE target = ANY (ARRAY(
      SELECT target FROM target_rests WHERE until < now() - interval '1 minute' ORDER BY until LIMIT ${PAGE} FOR UPDATE SKIP LOCKED))`
}
