// Finds the rows of a page that Postgres refuses to write, by halving the page.

import { takeTurns } from '../runtime/turns.ts'
import type { Database } from './database.ts'
import { Prisma } from './generated/client.ts'
import { sql } from './sql.ts'
import { sqlState } from './sql-state.ts'
import { isCommonFailure, isUnavailable } from './unavailable.ts'
import { noteUnstorable, type RefusedStatement } from './unstorable.ts'

/** Tries side by side; each takes a connection. */
const TRIES_AT_ONCE = 2

/** How long locked rows are searched for among many rows. The remaining rows stay due and are tried again. */
const LOCKED_MAX_MS = 60_000

/**
 * Runs a statement for many rows. When one row makes the statement fail, the statement runs for each half of the rows,
 * until the failing row is alone and noted. One failing row among a hundred costs about fifteen statements, two at a
 * time at most.
 * @returns the answers of all statements
 * @throws errors that concern all rows alike, or do not come from Postgres
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
      // A locked row is no failure: the row is due again.
      if (isLocked(error) && (some.length === 1 || performance.now() > endsAt)) return []
      if (some.length === 1) {
        await noteUnstorable(database, statement, first.id, error)
        return []
      }
      const middle = some.length >> 1
      const halves = [some.slice(0, middle), some.slice(middle)]
      // After a timeout the halves run side by side, so a slow row delays only its own half.
      if (isUnavailable(error)) return (await Promise.all(halves.map(tryThese))).flat()
      const answers: Answer[] = []
      for (const half of halves) answers.push(...(await tryThese(half)))
      return answers
    }
  }
  return await tryThese(rows)
}

/**
 * Like `withoutUnstorable`, for a statement that finds its own rows. Rows still locked by the failed statement are
 * skipped; the next call finds the skipped rows.
 * @param pick a query for the ids, restricted by its argument
 * @param claim the statement; it selects its rows with the query
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
    const found = await database.prisma.$queryRaw<{ id: string }[]>(sql.named('pickStorable')`${pick(Prisma.empty)}`)
    return await withoutUnstorable(database, statement, found, (rows) =>
      claim(pick(Prisma.sql`AND id = ANY (${rows.map((row) => row.id)}::text[])`)),
    )
  }
}

/** Runs a statement for one row, and notes the row when Postgres refuses the row. @throws the error of `run` */
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

/** Lock not available, and deadlocks that remain after `withRetry`. */
const isLocked = (error: unknown) => ['55P03', '40P01', '40001'].includes(sqlState(error) ?? '')

/** Postgres refused some of the rows. A lost COMMIT, or an error from outside Postgres, says nothing about a row. */
const isOfSomeRows = (error: unknown) => sqlState(error) !== undefined && !isCommonFailure(error)

/** Whether Postgres refused the row of a statement. */
const isRefusal = (error: unknown) => isOfSomeRows(error) && !isLocked(error)
