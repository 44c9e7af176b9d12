// Rows that Postgres refuses to write: a text that Postgres cannot store, a foreign trigger or constraint, a damaged
// page. Statements carry many rows, so one refused row would block its neighbours. The statement runs again without the
// row; the row is noted, shown, and tried again after a growing delay.

import type { Database } from './database.ts'
import { Prisma } from './generated/client.ts'
import { sql } from './sql.ts'
import { sqlState } from './sql-state.ts'

/** The kind of statement that Postgres refused. */
export type RefusedStatement =
  | 'claim'
  | 'record'
  | 'end'
  | 'enqueue'
  | 'admit'
  | 'submit'
  | 'deliver'
  | 'purge'
  | 'change'
  | 'fan_out'

export interface UnstorableRow {
  readonly id: string
  readonly statement: string
  /** The SQLSTATE; `unknown` when the error has no SQLSTATE. */
  readonly sqlState: string
  /** Failures since the last hour without a failure. */
  readonly failures: number
  readonly since: Date
  readonly retryAt: Date
}

/** Delay until the next try, doubled each time. */
const RETRY_MIN_S = 30

const RETRY_MAX_S = 600

/** A row that was not refused again for this long after its next try is storable, or deleted. */
const PURGED_AFTER = Prisma.raw(`interval '1 hour'`)

const NOW = Prisma.sql`now()`

/**
 * SQL condition: the row may be tried at the time `at`. `id`: the column. OFFSET 0: looked up row by row, in an almost
 * empty table.
 */
export const isStorable = (id: string, at = NOW) => Prisma.sql`
  NOT EXISTS (
    SELECT 1
    FROM unstorable_rows
    WHERE unstorable_rows.id = ${Prisma.raw(id)} AND retry_at > ${at}
    OFFSET 0
  )`

/** Never fails: a row that cannot be noted now is noted the next time. */
export async function noteUnstorable(
  database: Database,
  statement: RefusedStatement,
  id: string,
  error: unknown,
): Promise<void> {
  let failures: number | null = null
  try {
    const [row] = await database.prisma.$queryRaw<{ failures: number }[]>(sql.named('noteUnstorable')`
      INSERT INTO unstorable_rows AS known (id, statement, sql_state, retry_at)
      VALUES (
        ${id}, ${statement}, ${sqlState(error) ?? 'unknown'},
        now() + ${RETRY_MIN_S} * interval '1 second'
      )
      ON CONFLICT (id) DO UPDATE
      SET failures = known.failures + 1, statement = excluded.statement,
        sql_state = excluded.sql_state,
        retry_at = now()
          + least(
            ${RETRY_MIN_S} * 2 ^ least(known.failures, 10), ${RETRY_MAX_S}
          ) * interval '1 second'
      -- Who tried at the same time does not count.
      WHERE known.retry_at <= now()
      RETURNING failures`)
    if (!row) return
    failures = row.failures
  } catch {
    // The error of the statement says more.
  }
  database.onUnstorable({ id, statement, failures, error })
}

/** The note about a row; null without a note. */
export async function findUnstorable({ prisma }: Database, id: string): Promise<UnstorableRow | null> {
  return await prisma.unstorableRow.findUnique({ where: { id } })
}

/**
 * The rows of `ids` that are noted and left out at present, with their SQLSTATE. Rows that were only locked are not
 * included.
 */
export async function refusedAmong({ prisma }: Database, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await prisma.$queryRaw<{ id: string; sqlState: string }[]>(sql.named('refusedAmong')`
    SELECT id, sql_state AS "sqlState"
    FROM unstorable_rows
    WHERE id = ANY (${ids}::text[]) AND retry_at > now()`)
  return new Map(rows.map((row) => [row.id, row.sqlState]))
}

const COUNTED_MAX = 1_000

export interface UnstorableCount {
  /** Up to 1,000. */
  readonly count: number
  readonly since: Date | null
}

export async function countUnstorable({ prisma }: Database): Promise<UnstorableCount> {
  const [row] = await prisma.$queryRaw<UnstorableCount[]>(sql.named('countUnstorable')`
    SELECT count(*)::int AS count, min(since) AS since
    FROM (SELECT since FROM unstorable_rows LIMIT ${COUNTED_MAX}) AS rows`)
  return row ?? { count: 0, since: null }
}

/** Deletes notes about rows that have been storable since. */
export async function purgeUnstorable({ prisma }: Database): Promise<void> {
  await prisma.$executeRaw(sql.named('purgeUnstorable')`
    DELETE FROM unstorable_rows
    WHERE retry_at < now() - ${PURGED_AFTER}`)
}
