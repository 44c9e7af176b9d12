// Rows that Postgres refuses to write: a text that it cannot store, a trigger or a constraint of somebody's, a damaged page. Statements
// carry many rows, so one such row would keep its neighbours from moving. They go on without it; it is noted, shown, and tried again
// after a while that grows.

import { takeTurns } from '../runtime/turns.ts'
import type { Database } from './database.ts'
import { Prisma } from './generated/client.ts'
import { sqlState } from './sql-state.ts'
import { isCommonFailure, isUnavailable } from './unavailable.ts'

/** What was refused. */
export type RefusedStatement =
  | 'claim'
  | 'record'
  | 'end'
  | 'wake'
  | 'admit'
  | 'submit'
  | 'deliver'
  | 'forget'
  | 'change'
  | 'fan_out'

export interface UnstorableRow {
  readonly id: string
  readonly statement: string
  /** Five characters, as in Postgres' manual; `unknown` when the error was none of its own. */
  readonly sqlState: string
  /** How often, without an hour in which it was not. */
  readonly failures: number
  readonly since: Date
  readonly retryAt: Date
}

/** Until the next try: doubled each time. */
const RETRY_MIN_S = 30
const RETRY_MAX_S = 600
/** What was not refused again in this time after its next try is storable, or gone. */
const FORGOTTEN_AFTER = Prisma.raw(`interval '1 hour'`)

const NOW = Prisma.sql`now()`

/** That the row may be tried at that time; `id`: its column. OFFSET 0: looked up row by row, in a table that is all but empty. */
export const isStorable = (id: string, at = NOW) => Prisma.sql`NOT EXISTS (
  SELECT 1 FROM unstorable_rows WHERE unstorable_rows.id = ${Prisma.raw(id)} AND retry_at > ${at} OFFSET 0)`

/** Tries side by side: each takes a connection. */
const TRIES_AT_ONCE = 2
/** How long it is found out which rows are locked, where many are: the rest is due again as they are. */
const LOCKED_MAX_MS = 60_000

/**
 * Runs a statement for many rows. Where one of them is why it fails, it is run for each half of them, until what fails is alone and
 * noted: one such row among a hundred costs some fifteen statements, two at a time at the most.
 * @returns what all statements answered
 * @throws what concerns all rows alike, or is no error of Postgres'
 */
export async function withoutUnstorable<Row extends { readonly id: string }, Answer>(
  database: Database,
  statement: RefusedStatement,
  rows: readonly Row[],
  run: (rows: readonly Row[]) => Promise<readonly Answer[]>,
): Promise<Answer[]> {
  const turns = takeTurns(TRIES_AT_ONCE)
  const endsAt = performance.now() + LOCKED_MAX_MS

  async function tryThese(some: readonly Row[]): Promise<Answer[]> {
    const [first] = some
    if (!first) return []
    try {
      return [...(await turns(() => run(some)))]
    } catch (error) {
      if (!isOfSomeRows(error)) throw error
      // What somebody has locked is nobody's fault: it is due again.
      if (isLocked(error) && (some.length === 1 || performance.now() > endsAt)) return []
      if (some.length === 1) {
        await noteUnstorable(database, statement, first.id, error)
        return []
      }
      const middle = some.length >> 1
      const halves = [some.slice(0, middle), some.slice(middle)]
      // What takes too long is not waited for by the others.
      if (isUnavailable(error)) return (await Promise.all(halves.map(tryThese))).flat()
      const answers: Answer[] = []
      for (const half of halves) answers.push(...(await tryThese(half)))
      return answers
    }
  }
  return await tryThese(rows)
}

/**
 * The same for a statement that finds its rows itself. What the one that failed has not let go of yet is passed over: the next finds it.
 * @param pick a query for their ids; of these only, where they are given
 * @param claim the statement; it names its rows by such a query
 */
export async function claimStorable<Row>(
  database: Database,
  statement: RefusedStatement,
  pick: (among: Prisma.Sql) => Prisma.Sql,
  claim: (picked: Prisma.Sql) => Promise<Row[]>,
): Promise<Row[]> {
  try {
    return await claim(pick(Prisma.empty))
  } catch (error) {
    if (!isOfSomeRows(error)) throw error
    const found = await database.prisma.$queryRaw<{ id: string }[]>`${pick(Prisma.empty)}`
    return await withoutUnstorable(database, statement, found, (rows) =>
      claim(pick(Prisma.sql`AND id = ANY (${rows.map((row) => row.id)}::text[])`)),
    )
  }
}

/** Runs what concerns one row, and notes the row when Postgres refuses it. @throws whatever `run` throws */
export async function notingUnstorable<T>(
  database: Database,
  statement: RefusedStatement,
  id: string,
  run: () => Promise<T>,
): Promise<T> {
  try {
    return await run()
  } catch (error) {
    if (isRefusal(error)) await noteUnstorable(database, statement, id, error)
    throw error
  }
}

/** Lock not available, and what `withRetry` leaves of deadlocks. */
const isLocked = (error: unknown) => ['55P03', '40P01', '40001'].includes(sqlState(error) ?? '')

/** That Postgres did not take some of the rows. A lost COMMIT, and whatever is none of its errors, says nothing of any row. */
const isOfSomeRows = (error: unknown) => sqlState(error) !== undefined && !isCommonFailure(error)

/** Whether Postgres refused the row that a statement was for. */
const isRefusal = (error: unknown) => isOfSomeRows(error) && !isLocked(error)

/** Never fails: what cannot be noted is noted the next time. */
export async function noteUnstorable(
  database: Database,
  statement: RefusedStatement,
  id: string,
  error: unknown,
): Promise<void> {
  let failures: number | null = null
  try {
    const [row] = await database.prisma.$queryRaw<{ failures: number }[]>`
      INSERT INTO unstorable_rows AS known (id, statement, sql_state, retry_at)
      VALUES (${id}, ${statement}, ${sqlState(error) ?? 'unknown'}, now() + ${RETRY_MIN_S} * interval '1 second')
      ON CONFLICT (id) DO UPDATE SET failures = known.failures + 1, statement = excluded.statement, sql_state = excluded.sql_state,
        retry_at = now() + least(${RETRY_MIN_S} * 2 ^ least(known.failures, 10), ${RETRY_MAX_S}) * interval '1 second'
      -- Who tried at the same time does not count.
      WHERE known.retry_at <= now()
      RETURNING failures`
    if (!row) return
    failures = row.failures
  } catch {
    // The error that led here says more.
  }
  database.onUnstorable({ id, statement, failures, error })
}

/** What is noted of a row; null: nothing. */
export async function findUnstorable({ prisma }: Database, id: string): Promise<UnstorableRow | null> {
  return await prisma.unstorableRow.findUnique({ where: { id } })
}

/** Of these rows those that are noted and left out for now, each with its SQLSTATE. What was only locked is not among them. */
export async function refusedAmong({ prisma }: Database, ids: readonly string[]): Promise<Map<string, string>> {
  const rows = await prisma.$queryRaw<{ id: string; sqlState: string }[]>`
    SELECT id, sql_state AS "sqlState" FROM unstorable_rows WHERE id = ANY (${ids}::text[]) AND retry_at > now()`
  return new Map(rows.map((row) => [row.id, row.sqlState]))
}

const COUNTED_MAX = 1_000

export interface UnstorableCount {
  /** Up to 1,000. */
  readonly count: number
  readonly since: Date | null
}

export async function countUnstorable({ prisma }: Database): Promise<UnstorableCount> {
  const [row] = await prisma.$queryRaw<UnstorableCount[]>`
    SELECT count(*)::int AS count, min(since) AS since FROM (SELECT since FROM unstorable_rows LIMIT ${COUNTED_MAX}) AS rows`
  return row ?? { count: 0, since: null }
}

/** Forgets what has been storable since. */
export async function forgetUnstorable({ prisma }: Database): Promise<void> {
  await prisma.$executeRaw`DELETE FROM unstorable_rows WHERE retry_at < now() - ${FORGOTTEN_AFTER}`
}
