// Whether Postgres answers and accepts writes, and whether work is handled in time.

import { idBefore } from '@reelqueue/contract/terms/ids'
import type { Database } from '../database.ts'
import { isCoolingDown } from '../deliveries/cool-downs.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { sqlState } from '../sql-state.ts'
import { isStorable } from '../unstorable.ts'
import type { NotedStep } from './step-runs.ts'

export interface Overdue {
  /** Rows that no process has looked at, counted up to 1,000. */
  readonly count: number
  /** Steps whose jobs no worker takes, although enqueued rows wait for the step. */
  readonly stalled: readonly NotedStep[]
}

/** The longest redelivery back-off of reconcile. A row that is due later waits for another reason. */
const TOLERANCE = Prisma.raw(`interval '2 minutes'`)

/** Rows that were due before this moment are overdue; the statement below defines `since`. */
const SINCE = Prisma.sql`(SELECT at FROM since)`

/**
 * Counts rows that have been due for `toleranceMs` without attention, and names the stalled steps. Doubles as a ping.
 * Bounded: counts at most 1,000 rows of each kind. An unstorable row is overdue when its next try is overdue. A dead
 * receiver makes nothing overdue: its deliveries wait for their turns, and their jobs are taken.
 */
export async function overdueWork({ prisma }: Database, toleranceMs: number): Promise<Overdue> {
  const [row] = await prisma.$queryRaw<Overdue[]>(sql.named('overdueWork')`
    WITH since AS (
      SELECT now() - ${toleranceMs} * interval '1 ms' AS at
    ),
    -- Workers of an earlier version note no step: a step without a note is judged by its rows.
    quiet AS (
      SELECT step
      FROM step_runs, since
      WHERE ran_at < since.at
    ), delivering AS (
      SELECT EXISTS (SELECT 1 FROM step_runs, since WHERE step = 'deliver' AND ran_at >= since.at)
        OR EXISTS (
          SELECT 1
          FROM delivery_attempts
          WHERE id > ${idBefore('attempt', Date.now() - toleranceMs)}
        ) AS now
    ), stalled AS (
      SELECT step
      FROM quiet
      WHERE step = 'submit'
        AND EXISTS (
          SELECT 1
          FROM (
              SELECT admitted_at, status
              FROM generations
              WHERE due_at <= now() + ${TOLERANCE}
                AND due_at IS NOT NULL
                AND (status IN ('queued', 'submitting') OR answer IS NOT NULL)
                AND ${isStorable('generations.id', SINCE)}
              ORDER BY due_at
              LIMIT 1000
            ) AS due,
            since
          WHERE due.status = 'queued' AND due.admitted_at < since.at
        )
      UNION ALL
      SELECT step
      FROM quiet
      WHERE step = 'deliver'
        AND EXISTS (
          SELECT 1
          FROM (
              SELECT target, next_attempt_at
              FROM deliveries
              WHERE due_at <= now() + ${TOLERANCE}
                AND state = 'pending'
                AND ${isStorable('deliveries.id', SINCE)}
              ORDER BY due_at
              LIMIT 1000
            ) AS due,
            since
          WHERE due.next_attempt_at < since.at AND NOT ${isCoolingDown('due.target')}
        )
    )
    SELECT least(1000, count(*))::int AS count,
      ARRAY(SELECT step FROM stalled ORDER BY step) AS stalled
    FROM (
      (
        SELECT 1
        FROM generations, since
        WHERE due_at < since.at
          AND due_at IS NOT NULL
          AND status IN ('processing', 'failed')
          AND answer IS NULL
          AND ${isStorable('generations.id', SINCE)}
        LIMIT 1000
      )
      UNION ALL
      (
        SELECT 1
        FROM generations, since
        WHERE due_at < since.at
          AND due_at IS NOT NULL
          AND (status IN ('queued', 'submitting') OR answer IS NOT NULL)
          AND ${isStorable('generations.id', SINCE)}
        LIMIT 1000
      )
      UNION ALL
      -- Deliveries wait for earlier deliveries to their origin: overdue when no delivery is made.
      -- Deliveries to a resting origin are made after the rest.
      (
        SELECT 1
        FROM (
          SELECT target
          FROM deliveries, since
          WHERE due_at < since.at
            AND state = 'pending'
            AND NOT (SELECT now FROM delivering)
            AND ${isStorable('deliveries.id', SINCE)}
          LIMIT 1000
        ) AS due
        WHERE NOT ${isCoolingDown('due.target')}
      )
    ) AS overdue`)
  return row ?? { count: 0, stalled: [] }
}

/** Calls within this time share one write. */
const WRITE_EVERY_MS = 1_000
/**
 * More rows than fit into the smallest `work_mem`: Postgres writes a temporary file of about 160 KB and removes the
 * file.
 */
const SPILLED_ROWS = 4_000
/** SQLSTATE: `temp_file_limit` forbids the file. The error says nothing about the disk. */
const LIMITED = '53400'

/**
 * Makes a function that tests writing: the function rejects while Postgres is read-only or the disk is full. An update
 * of one row would find room in its page even on a full disk. The temporary file costs no WAL.
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
    await prisma.$executeRaw(sql.named('probeWrite')`
      UPDATE ledgers
      SET probed_at = clock_timestamp()
      WHERE one = 1`)
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

/** Writes a temporary file for any value of `work_mem`. */
export const SPILL = `SELECT count(*)::int AS rows FROM (SELECT set_config('work_mem', '64kB', true) AS set) AS small,
  LATERAL generate_series(1, ${SPILLED_ROWS} + 0 * length(small.set))`
