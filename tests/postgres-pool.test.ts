// What the connections of a pool have set when they are first used, however they came about.

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { openQueueBackend } from '@reelqueue/shared/queues/backend'
import { openPool } from '@reelqueue/shared/runtime/postgres-pool'
import { openDatabase } from '@reelqueue/shared/store/database'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createDatabase, runSql, type TestDatabase } from './support/database.ts'

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
})
afterAll(() => database.drop())

it("the store's connections bound their statements and transactions, and plan without reading whole tables", async () => {
  const store = openDatabase(database.url, () => undefined)
  const rows = await store.prisma.$queryRaw`
    SELECT current_setting('statement_timeout') AS statement, current_setting('enable_seqscan') AS seqscan,
      current_setting('idle_in_transaction_session_timeout') AS idle, current_setting('enable_bitmapscan') AS bitmapscan`
  expect(rows).toEqual([{ statement: '1min', idle: '40s', seqscan: 'off', bitmapscan: 'off' }])
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
    // Its length and the version of the protocol; then names and values, each ended by a zero.
    const words = packet.slice(8).split('\0')
    const names = words.filter((_, at) => at % 2 === 0 && words[at] !== '')
    expect(['user', 'database', 'client_encoding', 'application_name']).toEqual(expect.arrayContaining(names))
  }
  await Promise.all([store.close(), queues.close()])
  pooler.close()
})

it('a connection that dies while it sets them fails whoever asked for it, and nobody else', async () => {
  const pool = openPool(database.url, 'SELECT pg_terminate_backend(pg_backend_pid())', { max: 1 }, () => undefined)
  await expect(pool.query('SELECT 1')).rejects.toThrow(/terminat/)
  await pool.end()
})

it('a connection that cannot set them is not used, and the next one is tried anew', async () => {
  const pool = openPool(database.url, `SELECT 1 / (SELECT count(*) FROM ready)`, { max: 1 }, () => undefined)
  await expect(pool.query('SELECT 1')).rejects.toThrow('ready')
  await runSql(database.url, 'CREATE TABLE ready AS SELECT 1')
  expect((await pool.query('SELECT 2 AS two')).rows).toEqual([{ two: 2 }])
  await pool.end()
})
