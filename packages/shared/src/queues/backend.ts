// The backend of the queues: Redis through ioredis, or BullMQ's own tables in Postgres. The only file that knows the chosen backend.

import { onPostgres } from './postgres-backend.ts'
import type { QueueBackend } from './queue-backend.ts'
import { onRedis } from './redis-backend.ts'

export interface BackendOptions {
  readonly databaseUrl: string
  /** Absent: Postgres. */
  readonly redisUrl: string | undefined
  /** On Postgres: how many connections may be open at once. */
  readonly connectionsMax?: number
  readonly onError: (error: Error) => void
}

/** Opens the queues' backend; nothing needs to be reachable yet. */
export function openQueueBackend({ databaseUrl, redisUrl, connectionsMax, onError }: BackendOptions): QueueBackend {
  return redisUrl === undefined ? onPostgres(databaseUrl, onError, connectionsMax) : onRedis(redisUrl, onError)
}
