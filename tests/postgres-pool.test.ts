// The session settings of pool connections at the first use, for every way a connection is made.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { openQueueBackend } from '@reelqueue/shared/queues/backend'
import { areQueuesMigrated } from '@reelqueue/shared/queues/queue-schema'
import { openPool } from '@reelqueue/shared/runtime/postgres-pool'
import { connect } from '@reelqueue/shared/store/connect'
import { openDatabase } from '@reelqueue/shared/store/database'
import pg from 'pg'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { createDatabase, HOSTILE_DEFAULTS, runSql, type TestDatabase } from './support/database.ts'
import { startTestApp } from './support/test-app.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
})
afterAll(() => database.drop())

it("the store's connections bound their statements and transactions, and plan without reading whole tables", async () => {
  const store = openDatabase(database.url, () => undefined)
  const rows = await store.prisma.$queryRaw`
    SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
      current_setting('enable_seqscan') AS seqscan,
      current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('enable_bitmapscan') AS bitmapscan`
  expect(rows).toEqual([{ statement: '1min', lock: '5s', idle: '40s', seqscan: 'off', bitmapscan: 'off' }])
  await store.close()
})

it("the store's and the queues' connections, and those outside of pools, inherit nothing from the server, database or user", async () => {
  const store = openDatabase(database.url, () => undefined)
  const queues = openQueueBackend({ databaseUrl: database.url, redisUrl: undefined, onError: () => undefined })
  const overheard = vi.spyOn(pg.Client.prototype, 'query')
  await store.prisma.$queryRaw`SELECT 1`
  await queues.ping()
  await areQueuesMigrated(database.url)
  const outside = await connect(database.url, {})
  const begun = overheard.mock.calls.flatMap(([query]: unknown[]) => {
    const text = typeof query === 'object' && query !== null && 'text' in query ? query.text : query
    return typeof text === 'string' && text.includes('SET TimeZone') ? [text] : []
  })
  overheard.mockRestore()
  // Every kind of connection once; each connection sets everything in one round trip.
  expect(begun).toHaveLength(4)
  const names = Object.keys(HOSTILE_DEFAULTS).filter((name) => name !== 'work_mem' && name !== 'jit_above_cost')
  for (const text of begun)
    for (const name of names) expect(text).toMatch(new RegExp(`SET ${name} = |set_config\\('${name}'`))

  // Each setting equals Postgres' built-in default, except chosen settings; `source` shows inherited values.
  const sql = `SELECT name, setting FROM pg_settings WHERE name = ANY ('{${names}}') AND (source <> 'session' OR setting <> boot_val)`
  const valuesOf = (rows: readonly { name: string; setting: string }[]) =>
    Object.fromEntries(rows.map(({ name, setting }) => [name, setting]))
  const chosen = { TimeZone: 'UTC', jit: 'off', max_parallel_workers_per_gather: '0', search_path: 'public' }
  expect(valuesOf((await outside.client.query(sql)).rows)).toEqual(chosen)
  expect(valuesOf(await store.prisma.$queryRawUnsafe(sql))).toEqual({
    ...chosen,
    enable_bitmapscan: 'off',
    enable_seqscan: 'off',
    idle_in_transaction_session_timeout: '40000',
    lock_timeout: '5000',
    statement_timeout: '60000',
  })
  await Promise.all([store.close(), queues.close(), outside.client.end()])
})

it('an instant is the same on its way in and out, by the statements of Prisma and by our own', async () => {
  const store = openDatabase(database.url, () => undefined)
  const at = new Date('2026-03-29T01:30:00.123Z')
  const [row] = await store.prisma.$queryRaw<{ at: Date; ms: number; word: string }[]>`
    SELECT ${at}::timestamptz AS at, (extract(epoch FROM ${at}::timestamptz) * 1000)::float8 AS ms, ${at}::timestamptz::text AS word`
  expect(row).toEqual({ at, ms: at.getTime(), word: '2026-03-29 01:30:00.123+00' })
  await store.close()
})

it('asks for nothing at the beginning that a pooler might refuse', async () => {
  const packets: string[] = []
  const pooler = createServer((socket) => {
    socket.once('data', (packet) => {
      packets.push(packet.toString())
      socket.destroy()
    })
    socket.on('error', () => socket.destroy())
  })
  pooler.listen(0, '127.0.0.1')
  await once(pooler, 'listening')
  const url = `postgresql://me:hush@127.0.0.1:${(pooler.address() as AddressInfo).port}/films`
  const store = openDatabase(url, () => undefined)
  const queues = openQueueBackend({ databaseUrl: url, redisUrl: undefined, onError: () => undefined })
  await expect(store.prisma.$queryRaw`SELECT 1`).rejects.toThrow()
  await expect(queues.ping()).rejects.toThrow()
  expect(packets).toHaveLength(2)
  for (const packet of packets) {
    // The length and the protocol version, then names and values, each ended by a zero byte.
    const words = packet.slice(8).split('\0')
    const names = words.filter((_, at) => at % 2 === 0 && words[at] !== '')
    expect(['user', 'database', 'client_encoding', 'application_name']).toEqual(expect.arrayContaining(names))
  }
  await Promise.all([store.close(), queues.close()])
  pooler.close()
})

it('a process opens no more connections than its settings say, for its own statements and for the queues', async () => {
  const env = { DATABASE_CONNECTIONS_MAX: '3', QUEUE_CONNECTIONS_MAX: '8' }
  const app = await startTestApp({ databaseUrl: database.url, env })
  const { prisma } = app.database
  const atOnce = <T>(ask: () => Promise<T>) => Promise.all(Array.from({ length: 30 }, ask))
  const answers = await atOnce(() => prisma.$queryRaw<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`)
  expect(new Set(answers.map(([row]) => row?.pid)).size).toBe(3)
  await atOnce(() => app.context.backend.ping())
  const ofQueues = `SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name NOT IN ('test', 'reelqueue')`
  expect(await runSql(database.url, ofQueues)).toHaveLength(8)
  await app.close()
})

it('a connection that dies during its settings fails its caller only', async () => {
  const pool = openPool(
    database.url,
    'public',
    'SELECT pg_terminate_backend(pg_backend_pid())',
    { max: 1 },
    () => undefined,
  )
  await expect(pool.query('SELECT 1')).rejects.toThrow(/terminat/)
  await pool.end()
})

it('a connection without its settings is not used, and the next connection tries again', async () => {
  const pool = openPool(database.url, 'public', `SELECT 1 / (SELECT count(*) FROM ready)`, { max: 1 }, () => undefined)
  await expect(pool.query('SELECT 1')).rejects.toThrow('ready')
  await runSql(database.url, 'CREATE TABLE ready AS SELECT 1')
  expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }])
  await pool.end()
})
