// Where the queues live: Redis through ioredis, or BullMQ's own tables in Postgres. The only file that knows which.

import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import {
  assertSchemaCompatibility,
  type BackendFactory,
  type ConnectionOptions,
  createPostgresBackend,
  createRedisBackend,
  DEFAULT_SCHEMA,
  type IQueueBackend,
  isPgPool,
  type JobProgress,
  type Processor,
  Queue,
  type QueueOptions,
  runMigrations,
  SchemaMigrationRequiredError,
  SchemaVersionMismatchError,
  Worker,
} from 'bullmq'
import { Redis, type RedisOptions } from 'ioredis'
import pg from 'pg'
import { withTimeout } from '../runtime/clock.ts'
import { openPool } from '../runtime/postgres-pool.ts'
import { sessionOf } from '../runtime/postgres-session.ts'
import { LOOK_SECONDS, waitPatiently } from './job-wait.ts'
import { tryCommands } from './redis-trial.ts'

export interface JobData {
  readonly id: string
  /** Further rows that were woken in the same moment: one job for a few of them costs a part of one for each. */
  readonly also?: readonly string[]
}
export type JobQueue = Queue<JobData, void, string, JobData, void, string, IQueueBackend>
export type JobWorker = Worker<JobData, void, string, IQueueBackend, JobProgress>

export interface QueueBackend {
  readonly name: 'redis' | 'postgres'
  /** A queue whose commands fail fast while the server is away. */
  createQueue(name: string, options: Omit<QueueOptions, 'connection' | 'prefix'>): JobQueue
  /** A worker whose commands wait until the server is back. */
  createWorker(name: string, processor: Processor<JobData, void>, options: { readonly concurrency: number }): JobWorker
  /** Resolves when jobs can be added and moved; rejects, with the server's words, when it is away or refuses writes. */
  ping(): Promise<void>
  /** A few texts kept beside the queues, where these are not in the same database; else null. */
  readonly notes: {
    read(key: string): Promise<string | null>
    write(key: string, text: string): Promise<void>
  } | null
  close(): Promise<void>
}

/** In braces: on a Redis Cluster all keys of a queue must lie in one slot. Postgres ignores it. */
const PREFIX = '{reelqueue}'
/** Of tests and tools. The worker of each queue holds one to LISTEN; the rest is for short statements. */
const POSTGRES_CONNECTIONS_MAX = 12
const CLOSE_TIMEOUT_MS = 5_000
/** Of a statement that Postgres ends to break a deadlock. */
const ATTEMPTS_MAX = 5
/** How long a producer waits for an answer. */
const ANSWER_TIMEOUT_MS = 5_000
/** A worker's connection without an answer for this long is given up; longer than any of its blocking commands. */
const SILENCE_MAX_MS = 15_000
/** One connection is made anew no more often than this, so that a Redis that stays a replica is not knocked at all the time. */
const RECONNECT_EVERY_MS = 5_000
/** What a Redis answers that is no longer the primary, on connections that a failover left open. */
const DEMOTED = /READONLY|UNBLOCKED|MASTERDOWN/
/** Of `reconnectOnError`: connect anew, by when the name may lead to the new primary, and send the command again. */
const RECONNECT_AND_RESEND = 2

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

/** Creates or upgrades BullMQ's tables; idempotent, and safe from several processes at once. */
export async function migrateQueues(databaseUrl: string): Promise<void> {
  await withClient(databaseUrl, (client) => runMigrations(client, DEFAULT_SCHEMA))
}

/** Whether BullMQ's tables are those that this version of it needs. */
export async function areQueuesMigrated(databaseUrl: string): Promise<boolean> {
  return await withClient(databaseUrl, async (client) => {
    try {
      await assertSchemaCompatibility(client, DEFAULT_SCHEMA)
      return true
    } catch (error) {
      if (error instanceof SchemaMigrationRequiredError || error instanceof SchemaVersionMismatchError) return false
      throw error
    }
  })
}

async function withClient<T>(databaseUrl: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query(sessionOf(DEFAULT_SCHEMA))
    return await use(client)
  } finally {
    await client.end()
  }
}

function onPostgres(
  databaseUrl: string,
  onError: (error: Error) => void,
  connectionsMax = POSTGRES_CONNECTIONS_MAX,
): QueueBackend {
  // One pool for every queue and worker: each would otherwise open its own.
  const pool = openPool(
    databaseUrl,
    DEFAULT_SCHEMA,
    '',
    // A worker has one question under way at a time: on a connection that died without a word it would wait for ever.
    { max: connectionsMax, query_timeout: SILENCE_MAX_MS },
    onError,
  )
  // Every queue and worker listens to errors of the one pool: more than the ten listeners Node expects.
  pool.setMaxListeners(50)
  const query = pool.query.bind(pool)
  Object.defineProperty(pool, 'query', {
    value: (text: string, values?: unknown[]) =>
      slowlyOnceEnded(pool, () => againAfterDeadlock(() => query(text, values))),
  })
  const connect = pool.connect.bind(pool)
  type Connected = Parameters<typeof connect>[0]
  Object.defineProperty(pool, 'connect', {
    // The pool itself calls it with a callback.
    value: (connected?: Connected) => (connected ? connect(connected) : slowlyOnceEnded(pool, () => connect())),
  })
  if (!isPgPool(pool)) throw new Error('BullMQ does not take this version of pg')
  const factory: BackendFactory = (name, options, factoryOptions) => {
    const queueBackend = createPostgresBackend(name, { ...options, connection: pool }, factoryOptions)
    lookAgainAfterFailure(queueBackend)
    lookAgainAfterFailure(queueBackend.connection)
    listenAnewAfterFailure(queueBackend)
    return queueBackend
  }
  return {
    name: 'postgres',
    notes: null,
    ...constructors(factory, {}, {}),
    async ping() {
      await pool.query('SELECT 1')
    },
    async close() {
      // The pool waits for every connection that is out, also for one that a worker closed by force never gave back.
      await withTimeout(pool.end(), CLOSE_TIMEOUT_MS, "the queues' connections").catch(onError)
    },
  }
}

/**
 * BullMQ looks once whether its tables are there, and keeps the answer, also when it was that Postgres is away (seen on 6.7): a
 * process that starts in that moment would work on no queue until it is restarted. So a failure is forgotten.
 */
function lookAgainAfterFailure(part: { waitUntilReady(): Promise<void> }): void {
  const look = part.waitUntilReady.bind(part)
  const value = async () => {
    try {
      await look()
    } catch (error) {
      Reflect.deleteProperty(part, 'readyPromise')
      throw error
    }
  }
  Object.defineProperty(part, 'waitUntilReady', { value })
}

/**
 * BullMQ keeps the connection that it listens on until it breaks, also when it has never answered, or was dead when the pool handed it
 * over (seen on 6.7): its worker would take no job until its process is restarted. So it is told that such a connection has broken.
 */
function listenAnewAfterFailure(queueBackend: ReturnType<typeof createPostgresBackend>): void {
  const { connection } = queueBackend
  const connect = connection.getListenClient.bind(connection)
  const waitForJob = queueBackend.waitForJob.bind(queueBackend)
  let client: EventEmitter | undefined
  Object.defineProperty(connection, 'getListenClient', {
    async value() {
      const connected = await connect()
      if (connected instanceof EventEmitter) client = connected
      return connected
    },
  })
  // It rejects only when nothing can be listened to.
  Object.defineProperty(queueBackend, 'waitForJob', {
    // `waitPatiently` wraps it once more.
    configurable: true,
    async value(seconds: number) {
      try {
        return await waitForJob(seconds)
      } catch (error) {
        client?.emit('error', error)
        client = undefined
        throw error
      }
    },
  })
}

/** How long a pool that was ended takes for its refusal. */
const ENDED_REFUSAL_MS = 200

/**
 * A pool that was ended refuses in the same tick, and BullMQ asks again in the same tick (seen on 6.7): no timer and no signal would ever be
 * heard again. So the refusal takes its time.
 */
async function slowlyOnceEnded<T>(pool: pg.Pool, run: () => Promise<T>): Promise<T> {
  if (pool.ending) await delay(ENDED_REFUSAL_MS, undefined, { ref: false })
  return await run()
}

/**
 * BullMQ's functions lock several rows in no order, so two workers can block each other, and an outcome that Postgres refused
 * would be lost or recorded as a failure (seen on 6.7). Each is one statement: what was ended has left no trace.
 */
async function againAfterDeadlock<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      const isDeadlock = error instanceof pg.DatabaseError && error.code === '40P01'
      if (!isDeadlock || attempt === ATTEMPTS_MAX) throw error
    }
  }
}

function onRedis(url: string, onError: (error: Error) => void): QueueBackend {
  const reconnecting = {
    retryStrategy: (times) => Math.min(times * 100, 2_000),
    reconnectOnError: reconnectRarely(),
  } satisfies RedisOptions
  // Without socketTimeout a connection whose other end vanished, or hangs, is noticed by TCP alone: after minutes.
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

/** Of all connections: ioredis calls it as a method of a connection's own options, which is how they are told apart. */
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

function constructors(factory: BackendFactory, producer: ConnectionOptions, consumer: ConnectionOptions) {
  const place = { prefix: PREFIX }
  return {
    createQueue: (name, options): JobQueue =>
      new Queue<JobData, void, string, JobData, void, string, IQueueBackend>(
        name,
        { ...options, ...place, connection: producer },
        factory,
      ),
    createWorker: (name, processor, options): JobWorker => {
      const closing = new AbortController()
      const worker = new Worker<JobData, void, string, IQueueBackend>(
        name,
        processor,
        { ...options, ...place, connection: consumer, drainDelay: LOOK_SECONDS },
        (...args) => waitPatiently(factory(...args), closing.signal),
      )
      worker.on('closing', () => closing.abort())
      return worker
    },
  } satisfies Pick<QueueBackend, 'createQueue' | 'createWorker'>
}
