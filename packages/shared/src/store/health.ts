// Whether Postgres answers, and whether work is being handled in time.

import { idBefore } from '../domain/ids.ts'
import type { Database } from './database.ts'

export interface Overdue {
  /** Rows due for longer than the grace, counted up to 1,000. */
  readonly count: number
}

/**
 * Counts rows that nobody has looked at although they have been due for `graceMs`. Doubles as a ping.
 * Bounded: it reads at most 1,000 index entries of each kind.
 */
export async function overdueWork({ prisma }: Database, graceMs: number): Promise<Overdue> {
  const [row] = await prisma.$queryRaw<Overdue[]>`
    WITH since AS (SELECT now() - ${graceMs} * interval '1 ms' AS at)
    SELECT least(1000, count(*))::int AS count FROM (
      (SELECT 1 FROM generations, since WHERE due_at < since.at AND due_at IS NOT NULL AND status IN ('processing', 'failed') AND answer IS NULL LIMIT 1000)
      UNION ALL
      (SELECT 1 FROM generations, since WHERE due_at < since.at AND due_at IS NOT NULL AND (status IN ('queued', 'submitting') OR answer IS NOT NULL) LIMIT 1000)
      UNION ALL
      -- Deliveries wait for those before them to the same server: overdue when nothing at all was attempted.
      (SELECT 1 FROM deliveries, since WHERE due_at < since.at AND state = 'pending'
        AND NOT EXISTS (SELECT 1 FROM delivery_attempts WHERE id > ${idBefore('attempt', Date.now() - graceMs)}) LIMIT 1000)
    ) AS overdue`
  return row ?? { count: 0 }
}
