// Queues without an app: a private server, and any number of connections in the role of processes.

import { openQueueBackend } from '@reelqueue/shared/queues/backend'
import type { QueueBackend } from '@reelqueue/shared/queues/queue-backend'
import { openQueues, type QueueName, type Queues } from '@reelqueue/shared/queues/queues'
import { sqlState } from '@reelqueue/shared/store/sql-state'
import { createDatabase, runSql } from './database.ts'
import { startRedis, type TestRedis } from './redis.ts'

interface Dropped {
  readonly queue: QueueName
  readonly count: number
  readonly cause: unknown
}

interface Opened {
  readonly backend: QueueBackend
  readonly queues: Queues
  /** The calls of `onDropped`. */
  readonly dropped: readonly Dropped[]
}

const TRUNCATE_QUEUES = `DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg('bullmq.' || quote_ident(tablename), ', ') FROM pg_tables
  WHERE schemaname = 'bullmq' AND tablename NOT LIKE '%migration%'); END $$`
const TRIES_MAX = 20

/** Deletes everything from the queues in Postgres at one instant, like FLUSHALL in Redis. */
export async function emptyPostgresQueues(url: string): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await runSql(url, TRUNCATE_QUEUES)
      return
    } catch (error) {
      // Running workers may have won a deadlock.
      if (tries === TRIES_MAX || sqlState(error) !== '40P01') throw error
    }
  }
}

export interface QueueServer {
  readonly redis: TestRedis | null
  /** The URL of the database, which also holds the queues when there is no Redis. */
  readonly url: string
  /** Opens backend and queues like a process. */
  open(redisUrl?: string): Opened
  close(): Promise<void>
}

export async function startQueueServer(backend: 'postgres' | 'redis'): Promise<QueueServer> {
  const database = await createDatabase()
  const redis = backend === 'redis' ? await startRedis() : null
  const opened: Opened[] = []
  return {
    redis,
    url: database.url,
    open(redisUrl = redis?.url) {
      const dropped: Dropped[] = []
      const onError = () => undefined
      const backend = openQueueBackend({ databaseUrl: database.url, redisUrl, onError })
      const queues = openQueues(backend, onError, (queue, count, cause) => dropped.push({ queue, count, cause }))
      opened.push({ backend, queues, dropped })
      return { backend, queues, dropped }
    },
    async close() {
      for (const { backend, queues } of opened) {
        await queues.close()
        await backend.close()
      }
      await redis?.destroy()
      await database.drop()
    },
  }
}
