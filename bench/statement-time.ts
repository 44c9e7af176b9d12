// The cost of one statement of the store for Postgres: recorded on its way, then run by EXPLAIN ANALYZE and rolled back; planning counts
// too.

import { type Database, openDatabase, PLANNING } from '@reelqueue/shared/store/database'
import { nameOf } from '@reelqueue/shared/store/sql'
import pg from 'pg'
import { cpuSeconds } from './cpu.ts'
import { median } from './requests.ts'

const ROUNDS = 7

export interface StatementToTime {
  /** Sends the statement; called once. */
  readonly act: (database: Database) => Promise<unknown>
  /** The name of the statement (store/sql.ts). */
  readonly name: string
  /** A query run after each round, before the rollback: the number of affected rows, as `count`. */
  readonly counted: string
}

/** @returns ms: the median of the rounds; cpuMs: the processor time per round, on Linux; count: the rows of the last round */
export async function timeStatement(
  databaseUrl: string,
  { act, name, counted }: StatementToTime,
): Promise<{ count: number; ms: number; cpuMs: number | null }> {
  const database = openDatabase(databaseUrl, console.error)
  const statements: { text: string; values: unknown[] }[] = []
  const original = pg.Client.prototype.query
  pg.Client.prototype.query = function (this: pg.Client, ...given: unknown[]) {
    const [config, values] = given as [string | { text: string; values?: unknown[] }, unknown[]?]
    if (typeof config !== 'string' && nameOf(config.text) === name)
      statements.push({ text: config.text, values: config.values ?? values ?? [] })
    return Reflect.apply(original, this, given)
  } as typeof original
  const explainer = new pg.Client({ connectionString: databaseUrl })
  await explainer.connect()
  await explainer.query(PLANNING)
  try {
    await act(database)
    const [statement] = statements
    if (!statement) throw new Error('no statement was heard')
    const times: number[] = []
    let count = 0
    const { rows: backends } = await explainer.query('SELECT pg_backend_pid() AS pid')
    const pids = (backends as { pid: number }[]).map(({ pid }) => pid)
    const before = await cpuSeconds(pids)
    for (let round = 0; round < ROUNDS; round++) {
      await explainer.query('BEGIN')
      const { rows } = await explainer.query(
        `EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) ${statement.text}`,
        statement.values,
      )
      const { rows: taken } = await explainer.query(counted)
      await explainer.query('ROLLBACK')
      const [found] = rows as { 'QUERY PLAN': [{ 'Planning Time': number; 'Execution Time': number }] }[]
      if (!found) throw new Error('no plan')
      times.push(found['QUERY PLAN'][0]['Planning Time'] + found['QUERY PLAN'][0]['Execution Time'])
      count = (taken as { count: number }[])[0]?.count ?? 0
    }
    const after = await cpuSeconds(pids)
    const cpuMs = before === null || after === null ? null : ((after - before) * 1_000) / ROUNDS
    return { count, ms: median(times), cpuMs }
  } finally {
    pg.Client.prototype.query = original
    await explainer.end()
    await database.close()
  }
}
