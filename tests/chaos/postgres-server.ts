// A private Postgres that can be stopped, crashed and started again behind a constant address: Postgres takes a new port at each start, and
// the relay in front follows.

import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import pg from 'pg'
import { type Relay, startRelay } from '../support/relay.ts'
import { until } from '../support/wait.ts'

export interface PostgresServer {
  /** The app's URL, through the relay. */
  readonly url: string
  readonly relay: Relay
  /** The checks' URL: directly to the server at its present port. */
  directUrl(): string
  /** Ends every session and stops in order, then starts again. */
  restart(): Promise<void>
  /** Ends immediately without a checkpoint, as in a power failure, then recovers. */
  crash(): Promise<void>
  /** Deletes every job and poller of the queues, like a wiped Redis. */
  wipeQueues(): Promise<void>
  close(): Promise<void>
}

/** BullMQ's own tables of jobs and schedulers. */
const QUEUE_TABLES = ['job', 'scheduler', 'dedup', 'dedup_next', 'job_dependency']
const LOCK_TRIES = 3

export async function startPostgresServer(): Promise<PostgresServer> {
  const dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-chaos-postgres-'))
  await chmod(dataDir, 0o755)
  const start = () => startEmbeddedPostgres({ dataDir, log: () => undefined })
  let server: EmbeddedPostgres = await start()
  const target = { host: '127.0.0.1', port: Number(new URL(server.url).port) }
  const relay = await startRelay(target)
  const url = new URL(server.url)
  url.port = String(relay.port)

  async function startAgain(): Promise<void> {
    server = await start()
    target.port = Number(new URL(server.url).port)
  }
  return {
    url: url.href,
    relay,
    directUrl: () => server.url,
    async restart() {
      await server.stop()
      await startAgain()
    },
    async crash() {
      const pid = Number((await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])
      process.kill(pid, 'SIGQUIT')
      await until('postgres is gone', () => !isAlive(pid), { timeoutMs: 30_000 })
      await server.stop()
      await startAgain()
    },
    async wipeQueues() {
      const tables = QUEUE_TABLES.map((name) => `bullmq.${name}`)
      for (let tries = 1; ; tries++) {
        try {
          await withClient(server.url, (client) => client.query(`TRUNCATE ${tables.join(', ')} CASCADE`))
          return
        } catch (error) {
          // The app's own statements may have won a deadlock.
          if (tries === LOCK_TRIES) throw error
        }
      }
    },
    async close() {
      await relay.cut()
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

async function withClient(url: string, use: (client: pg.Client) => Promise<unknown>): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    await use(client)
  } finally {
    await client.end()
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
