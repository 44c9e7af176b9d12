// A private database for each test file or test: a clone of the migrated template costs 50–90 ms. A clone fails while any session is
// connected to the template, so no session ever connects to the template. Each database is hostile: with its defaults, a session that
// inherits a setting gets other results, or is slow.
import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import pg from 'pg'
import { inject } from 'vitest'

declare module 'vitest' {
  interface ProvidedContext {
    /** Connects as a user with permission to create databases. */
    postgresUrl: string
    templateDatabase: string
  }
}

export interface TestDatabase {
  readonly url: string
  /** Drops the database, and ends all its connections. */
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

/** The defaults of a session in a test database. Where Postgres has no JIT, `jit` changes nothing. */
export const HOSTILE_DEFAULTS: Readonly<Record<string, string>> = {
  TimeZone: "'Asia/Kathmandu'",
  DateStyle: "'German, DMY'",
  IntervalStyle: "'sql_standard'",
  bytea_output: "'escape'",
  extra_float_digits: '-10',
  search_path: "'nowhere'",
  standard_conforming_strings: 'off',
  array_nulls: 'off',
  transform_null_equals: 'on',
  quote_all_identifiers: 'on',
  default_transaction_isolation: "'serializable'",
  default_transaction_deferrable: 'on',
  row_security: 'off',
  gin_fuzzy_search_limit: '1',
  statement_timeout: "'3s'",
  lock_timeout: "'10ms'",
  idle_in_transaction_session_timeout: "'500ms'",
  idle_session_timeout: "'3s'",
  client_min_messages: "'error'",
  jit: 'on',
  jit_above_cost: '0',
  max_parallel_workers_per_gather: '8',
  plan_cache_mode: "'force_generic_plan'",
  enable_indexscan: 'off',
  enable_indexonlyscan: 'off',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_nestloop: 'off',
  enable_hashjoin: 'off',
  enable_mergejoin: 'off',
  enable_sort: 'off',
  enable_material: 'off',
  enable_hashagg: 'off',
  work_mem: "'64kB'",
}

/** The settings of the tests' own connections, so that tests read correct values. */
export const PLAIN_SESSION = `SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; SET bytea_output = 'hex';
  SET extra_float_digits = 1; SET search_path = public; SET standard_conforming_strings = on; SET array_nulls = on;
  SET transform_null_equals = off; SET quote_all_identifiers = off; SET default_transaction_isolation = 'read committed';
  SET default_transaction_deferrable = off; SET row_security = on; SET statement_timeout = 0; SET lock_timeout = 0;
  SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0; SET client_min_messages = notice; SET jit = off;
  SET max_parallel_workers_per_gather = 0; SET plan_cache_mode = auto; SET enable_indexscan = on; SET enable_indexonlyscan = on;
  SET enable_seqscan = on; SET enable_bitmapscan = on; SET enable_nestloop = on; SET enable_hashjoin = on; SET enable_mergejoin = on;
  SET enable_sort = on; SET enable_material = on; SET enable_hashagg = on; SET work_mem = '4MB'`

/** A test's own connection. The caller ends the connection. */
export async function openClient(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'test' })
  await client.connect()
  await client.query(PLAIN_SESSION)
  return client
}

/** The settings inherited by a connection that sets nothing, the intended settings, and the server's major version. */
export async function defaultsOf(url: string) {
  const meant = Object.entries(HOSTILE_DEFAULTS).map(([name, value]) => ({ name, value: value.replaceAll("'", '') }))
  const client = new pg.Client({ connectionString: url, application_name: 'test' })
  await client.connect()
  try {
    const sql = `SELECT name, current_setting(name) AS value, current_setting('server_version_num')::int / 10000 AS version
      FROM unnest($1::text[]) WITH ORDINALITY AS wanted (name, at) ORDER BY at`
    const { rows } = await client.query(sql, [meant.map(({ name }) => name)])
    return { version: rows[0]?.version, inherited: rows.map(({ name, value }) => ({ name, value })), meant }
  } finally {
    await client.end()
  }
}

async function create(template: string): Promise<TestDatabase> {
  const server = inject('postgresUrl')
  const name = `reelqueue_test_${randomBytes(6).toString('hex')}`
  await runSql(server, `CREATE DATABASE ${name} TEMPLATE ${template}`)
  const settings = Object.entries(HOSTILE_DEFAULTS).map(
    ([key, value]) => `ALTER DATABASE ${name} SET ${key} = ${value}`,
  )
  await runSql(server, settings.join('; '))
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
 * Waits for connections that are being closed: a pool reports its end before its sockets have closed, and a connection ended by force in
 * Postgres emits an error that no listener handles. Connections that stay longer are ended by force.
 */
async function connectionsAreGone(server: string, name: string): Promise<void> {
  const deadline = performance.now() + GOING_MAX_MS
  while (performance.now() < deadline) {
    const rows = await runSql(server, `SELECT 1 FROM pg_stat_activity WHERE datname = '${name}' LIMIT 1`)
    if (rows.length === 0) return
    await delay(20)
  }
}

/** Runs one statement on a new connection, named `test` in Postgres, and returns its rows. */
export async function runSql<Row extends pg.QueryResultRow>(url: string, sql: string): Promise<Row[]> {
  const client = await openClient(url)
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
