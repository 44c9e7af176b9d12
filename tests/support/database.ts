// A database of a test's own. A clone of the migrated template costs 50–90 ms, so take one per file or per test;
// a clone fails while anyone is connected to the template, so nobody ever connects to it.
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** Connects as someone who may create databases. */
    postgresUrl: string
    templateDatabase: string
  }
}

export interface TestDatabase {
  readonly url: string
  /** Drops it, ending whatever is still connected. */
  drop(): Promise<void>
}

/** A fresh clone of the migrated database. */
export async function createDatabase(): Promise<TestDatabase> {
  return create(inject('templateDatabase'))
}

/** A database without any table, for tests of migrations. */
export async function createEmptyDatabase(): Promise<TestDatabase> {
  return create('template0')
}

async function create(template: string): Promise<TestDatabase> {
  const server = inject('postgresUrl')
  const name = `reelqueue_test_${randomBytes(6).toString('hex')}`
  await runSql(server, `CREATE DATABASE ${name} TEMPLATE ${template}`)
  return {
    url: withDatabaseName(server, name),
    drop: async () => {
      await connectionsAreGone(server, name)
      await runSql(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

const GOING_MAX_MS = 2_000

/**
 * Waits for connections that are being closed: a pool calls itself ended before its sockets are, and one of them that Postgres
 * ends by force emits an error that nobody hears any more. Whoever stays longer is ended all the same.
 */
async function connectionsAreGone(server: string, name: string): Promise<void> {
  const deadline = performance.now() + GOING_MAX_MS
  while (performance.now() < deadline) {
    const rows = await runSql(server, `SELECT 1 FROM pg_stat_activity WHERE datname = '${name}' LIMIT 1`)
    if (rows.length === 0) return
    await delay(20)
  }
}

/** Runs one statement over a connection of its own, which Postgres knows as `test`, and returns its rows. */
export async function runSql<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url, application_name: 'test' })
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}

export function withDatabaseName(url: string, name: string): string {
  const changed = new URL(url)
  changed.pathname = `/${name}`
  return changed.href
}
