// A database of a test's own. A clone of the migrated template costs 50–90 ms, so take one per file or per test;
// a clone fails while anyone is connected to the template, so nobody ever connects to it.
import { randomBytes } from 'node:crypto'
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
      await runSql(server, `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
    },
  }
}

/** Runs one statement over a connection of its own and returns its rows. */
export async function runSql<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
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
