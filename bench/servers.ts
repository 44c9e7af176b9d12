// The servers of a benchmark: an embedded Postgres with full durability, and a Redis if there is one to start.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startEmbeddedPostgres } from '@reelqueue/shared/runtime/embedded-postgres'
import { prepareDatabase } from '../bin/house.ts'

export interface Servers {
  readonly databaseUrl: string
  readonly redisUrl: string | undefined
  readonly queuesOn: 'Redis' | 'Postgres'
  stop(): Promise<void>
}

export async function startServers(): Promise<Servers> {
  const folder = await mkdtemp(join(tmpdir(), 'reelqueue-bench-'))
  const postgres = await startEmbeddedPostgres({ dataDir: join(folder, 'postgres'), log: () => undefined })
  await prepareDatabase(postgres.url)
  const redis = await startRedis(folder)
  return {
    databaseUrl: postgres.url,
    redisUrl: redis?.url,
    queuesOn: redis ? 'Redis' : 'Postgres',
    async stop() {
      redis?.process.kill()
      await postgres.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function startRedis(folder: string): Promise<{ process: ChildProcess; url: string } | null> {
  const port = await freePort()
  const words = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder, '--save', '', '--appendonly', 'yes']
  const process = spawn('redis-server', words, { stdio: ['ignore', 'pipe', 'ignore'] })
  const isUp = await new Promise<boolean>((resolve) => {
    process.on('error', () => resolve(false))
    process.stdout.on('data', (text) => /Ready to accept/.test(String(text)) && resolve(true))
  })
  return isUp ? { process, url: `redis://127.0.0.1:${port}` } : null
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
