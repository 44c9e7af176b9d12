// The backend of the queues: Redis through ioredis, or BullMQ's own tables in Postgres. The only file that knows the chosen backend.

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
  /** Further rows enqueued at the same moment: one job for a few rows costs a fraction of one job per row. */
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
  /** Resolves when jobs can be added and moved; rejects with the server's message when the server is away or refuses writes. */
  ping(): Promise<void>
  /** A few texts kept beside the queues; null where queues and tables share a database. */
  readonly notes: {
    read(key: string): Promise<string | null>
    write(key: string, text: string): Promise<void>
  } | null
  close(): Promise<void>
}

/** The braces keep all keys of a queue in one hash slot of a Redis Cluster. Postgres ignores the prefix. */
const PREFIX = '{reelqueue}'
/** For tests and tools. The worker of each queue holds one connection for LISTEN; short statements share the rest. */
const POSTGRES_CONNECTIONS_MAX = 12
const CLOSE_TIMEOUT_MS = 5_000
/** Attempts of a statement ended by Postgres to break a deadlock. */
const ATTEMPTS_MAX = 5
/** How long a producer waits for an answer. */
const ANSWER_TIMEOUT_MS = 5_000
/** A worker's connection is closed after this long without an answer; longer than any blocking command of a worker. */
const SILENCE_MAX_MS = 15_000
/** Least time between two reconnects of a connection: a Redis that stays a replica must not cause constant reconnects. */
const RECONNECT_EVERY_MS = 5_000
/** Answers of a Redis demoted by a failover, on connections left open by the failover. */
const DEMOTED = /READONLY|UNBLOCKED|MASTERDOWN/
/** For `reconnectOnError`: reconnect, because the host name may now lead to the new primary, and send the command again. */
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

/** Whether BullMQ's tables have the schema of this BullMQ version. */
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
  // Every queue and worker shares this pool; without the pool each would open its own.
  const pool = openPool(
    databaseUrl,
    DEFAULT_SCHEMA,
    '',
    // A worker sends one query at a time: on a silently dead connection the worker would wait for ever.
    { max: connectionsMax, query_timeout: SILENCE_MAX_MS },
    onError,
  )
  // Every queue and worker listens to errors of the shared pool: more than the ten listeners Node expects.
  pool.setMaxListeners(50)
  const query = pool.query.bind(pool)
  Object.defineProperty(pool, 'query', {
    value: (text: string, values?: unknown[]) =>
      slowlyOnceEnded(pool, () => againAfterDeadlock(() => query(text, values))),
  })
  const connect = pool.connect.bind(pool)
  type Connected = Parameters<typeof connect>[0]
  Object.defineProperty(pool, 'connect', {
    // The pool itself calls `connect` with a callback.
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
      // `end` waits for every connection in use, also for a connection never returned by a forcibly closed worker.
      await withTimeout(pool.end(), CLOSE_TIMEOUT_MS, "the queues' connections").catch(onError)
    },
  }
}

/**
 * BullMQ checks once whether its tables exist and keeps the answer, even the answer that Postgres is away (seen on 6.7): a process started
 * at that moment would serve no queue until a restart. So a failed check is discarded.
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
 * BullMQ keeps its LISTEN connection until the connection breaks, even when the connection has never answered or was dead on arrival from
 * the pool (seen on 6.7): the worker would take no job until a restart. So an error event on the connection reports the failure.
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
  // `waitForJob` rejects only when LISTEN is impossible.
  Object.defineProperty(queueBackend, 'waitForJob', {
    // `waitPatiently` wraps the method once more.
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

/** How long an ended pool delays its refusal. */
const ENDED_REFUSAL_MS = 200

/**
 * An ended pool refuses in the same tick, and BullMQ retries in the same tick (seen on 6.7): no timer and no signal would ever be handled
 * again. So the refusal is delayed.
 */
async function slowlyOnceEnded<T>(pool: pg.Pool, run: () => Promise<T>): Promise<T> {
  if (pool.ending) await delay(ENDED_REFUSAL_MS, undefined, { ref: false })
  return await run()
}

/**
 * BullMQ's functions lock several rows in no fixed order, so two workers can deadlock, and an outcome refused by Postgres would be lost
 * or recorded as a failure (seen on 6.7). Each function is one statement: an aborted statement leaves no trace and may run again.
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
