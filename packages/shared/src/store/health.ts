// Whether Postgres answers and can be written to, and whether work is being handled in time.

import { idBefore } from '../domain/ids.ts'
import type { Database } from './database.ts'
import { sqlState } from './sql-state.ts'

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

/** Callers within this time share one write. */
const WRITE_EVERY_MS = 1_000
/** Rows that do not fit into the smallest `work_mem`: Postgres writes them to a file, some 160 KB, and removes it. */
const SPILLED_ROWS = 4_000
/** SQLSTATE: `temp_file_limit` forbids such a file. Says nothing of the disk. */
const LIMITED = '53400'

/**
 * Makes a function that tries to write: it rejects while Postgres is read-only or its disk is full. An update of one row alone would find
 * room in its page also on a full disk; the temporary file costs no WAL.
 */
export function createWriteTest({ prisma }: Database): () => Promise<void> {
  let latest: Promise<void> = Promise.resolve()
  let askedAt = Number.NEGATIVE_INFINITY
  async function write(): Promise<void> {
    try {
      await prisma.$queryRawUnsafe(SPILL)
    } catch (error) {
      if (sqlState(error) !== LIMITED) throw error
    }
    await prisma.$executeRaw`UPDATE ledgers SET probed_at = clock_timestamp() WHERE one = 1`
  }
  return () => {
    const now = performance.now()
    if (now - askedAt >= WRITE_EVERY_MS) {
      askedAt = now
      latest = write()
    }
    return latest
  }
}

/** Writes a temporary file, whatever `work_mem` is. */
export const SPILL = `SELECT count(*)::int AS rows FROM (SELECT set_config('work_mem', '64kB', true) AS set) AS small,
  LATERAL generate_series(1, ${SPILLED_ROWS} + 0 * length(small.set))`
