// Queues in Redis, through ioredis.

import { createRedisBackend } from 'bullmq'
import { Redis, type RedisOptions } from 'ioredis'
import { constructors, PREFIX, type QueueBackend, SILENCE_MAX_MS } from './queue-backend.ts'
import { tryCommands } from './redis-trial.ts'

/** How long a producer waits for an answer. */
const ANSWER_TIMEOUT_MS = 5_000

/** Least time between two reconnects of a connection: a Redis that stays a replica must not cause constant reconnects. */
const RECONNECT_EVERY_MS = 5_000

/** Answers of a Redis demoted by a failover, on connections left open by the failover. */
const DEMOTED = /READONLY|UNBLOCKED|MASTERDOWN/

/** For `reconnectOnError`: reconnect, because the host name may now lead to the new primary, and send the command again. */
const RECONNECT_AND_RESEND = 2

export function onRedis(url: string, onError: (error: Error) => void): QueueBackend {
  const reconnecting = {
    retryStrategy: (times) => Math.min(times * 100, 2_000),
    reconnectOnError: reconnectRarely(),
  } satisfies RedisOptions
  // Without socketTimeout only TCP detects a vanished or hanging peer, after minutes.
  const producer = new Redis(url, {
    ...reconnecting,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 1,
    commandTimeout: ANSWER_TIMEOUT_MS,
    socketTimeout: ANSWER_TIMEOUT_MS,
  })
  const consumer = new Redis(url, { ...reconnecting, maxRetriesPerRequest: null, socketTimeout: SILENCE_MAX_MS })
  for (const connection of [producer, consumer]) connection.on('error', onError)
  return {
    name: 'redis',
    ...constructors(createRedisBackend, producer, consumer),
    async ping() {
      const [refused] = await tryCommands(producer)
      if (refused) throw new Error(refused.error)
    },
    notes: {
      read: (key) => producer.get(`${PREFIX}:${key}`),
      async write(key, text) {
        await producer.set(`${PREFIX}:${key}`, text)
      },
    },
    async close() {
      for (const connection of [producer, consumer]) connection.disconnect()
    },
  }
}

/** Shared by all connections: ioredis calls the function as a method of the connection's own options, which identify the connection. */
function reconnectRarely() {
  const reconnectedAt = new WeakMap<object, number>()
  return function (this: unknown, { message }: Error): typeof RECONNECT_AND_RESEND | false {
    if (!DEMOTED.test(message) || typeof this !== 'object' || this === null) return false
    const now = performance.now()
    if (now - (reconnectedAt.get(this) ?? Number.NEGATIVE_INFINITY) < RECONNECT_EVERY_MS) return false
    reconnectedAt.set(this, now)
    return RECONNECT_AND_RESEND
  }
}
