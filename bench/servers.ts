// The servers of a benchmark: an embedded Postgres with full durability, and a Redis when `redis-server` is installed.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import type { PostgresBinaries } from '@reelqueue/shared/embedded/postgres-binaries'
import { prepareDatabase } from '@reelqueue/shared/migrate/prepare-database'
import { Redis } from 'ioredis'
import pg from 'pg'

export interface Servers {
  readonly databaseUrl: string
  /** For the plain pipeline: a separate database, whose tables have only the necessary indexes and checks. */
  readonly plainDatabaseUrl: string
  readonly redisUrl: string | undefined
  readonly queuesOn: 'Redis' | 'Postgres'
  /** Version and availability of JIT, as reported by the server. */
  readonly postgres: string
  /** The process of Postgres, then the process of Redis. */
  readonly pids: readonly number[]
  /** Empties the database of a pipeline, and Redis. */
  empty(name: 'Reelqueue' | 'plain'): Promise<void>
  stop(): Promise<void>
}

/** @param binaries of a different Postgres than the Postgres installed by npm */
export async function startServers(binaries?: PostgresBinaries): Promise<Servers> {
  const folder = await mkdtemp(join(tmpdir(), 'reelqueue-bench-'))
  const dataDir = join(folder, 'postgres')
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined, ...(binaries && { binaries }) })
  await prepareDatabase(postgres.url)
  const redis = await startRedis(folder)
  const plainDatabaseUrl = await preparePlain(postgres.url)
  return {
    databaseUrl: postgres.url,
    plainDatabaseUrl,
    redisUrl: redis?.url,
    queuesOn: redis ? 'Redis' : 'Postgres',
    postgres: await describe(postgres.url),
    pids: [await postmasterOf(join(folder, 'postgres', 'postgres')), redis?.process.pid].filter(
      (pid) => pid !== undefined,
    ),
    async empty(name) {
      const url = name === 'plain' ? plainDatabaseUrl : postgres.url
      await withClient(url, (client) =>
        client.query('TRUNCATE projects, upstream_gates, render_stats, pending_fan_outs CASCADE'),
      )
      if (!redis) return
      const connection = new Redis(redis.url)
      await connection.flushall()
      connection.disconnect()
    },
    async stop() {
      redis?.process.kill()
      await postgres.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function preparePlain(url: string): Promise<string> {
  await withClient(url, (client) => client.query('CREATE DATABASE plain'))
  const plainUrl = url.replace(/[^/]+$/, 'plain')
  await prepareDatabase(plainUrl)
  await withClient(plainUrl, (client) =>
    client.query(`DO $$ DECLARE line text; BEGIN
      FOR line IN
        SELECT format('ALTER TABLE generations DROP CONSTRAINT %I', conname) FROM pg_constraint
        WHERE conrelid = 'generations'::regclass AND contype IN ('c', 'f')
        UNION ALL
        SELECT format('DROP INDEX %I', indexname) FROM pg_indexes
        WHERE tablename = 'generations' AND indexname NOT IN ('generations_pkey', 'generations_project_id_id_idx')
      LOOP EXECUTE line; END LOOP; END $$`),
  )
  return plainUrl
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

async function describe(url: string): Promise<string> {
  return await withClient(url, async (client) => {
    const { rows } = await client.query<{ version: string; jit: string }>(
      `SELECT current_setting('server_version') AS version, CASE WHEN pg_jit_available() THEN 'with' ELSE 'without' END AS jit`,
    )
    return rows.map(({ version, jit }) => `Postgres ${version} ${jit} JIT`).join()
  })
}

/** Postgres writes its pid on the first line of postmaster.pid. */
async function postmasterOf(folder: string): Promise<number> {
  return Number((await readFile(join(folder, 'postmaster.pid'), 'utf8')).split('\n')[0])
}

async function startRedis(folder: string): Promise<{ process: ChildProcess; url: string } | null> {
  const port = await freePort()
  const words = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes']
  const server = spawn('redis-server', words, { stdio: ['ignore', 'pipe', 'ignore'] })
  // A benchmark ended by a signal must not leave Redis running.
  process.once('exit', () => server.kill())
  const isUp = await new Promise<boolean>((resolve) => {
    server.on('error', () => resolve(false))
    server.stdout.on('data', (text) => /Ready to accept/.test(String(text)) && resolve(true))
  })
  return isUp ? { process: server, url: `redis://127.0.0.1:${port}` } : null
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
