// Queues in BullMQ's own tables in Postgres.

import { type BackendFactory, createPostgresBackend, DEFAULT_SCHEMA, isPgPool } from 'bullmq'
import { withTimeout } from '../runtime/clock.ts'
import { openPool } from '../runtime/postgres-pool.ts'
import {
  againAfterDeadlock,
  listenAnewAfterFailure,
  lookAgainAfterFailure,
  slowlyOnceEnded,
} from './bullmq-postgres-fixes.ts'
import { constructors, type QueueBackend, SILENCE_MAX_MS } from './queue-backend.ts'

/** For tests and tools. The worker of each queue holds one connection for LISTEN; short statements share the rest. */
const POSTGRES_CONNECTIONS_MAX = 12

const CLOSE_TIMEOUT_MS = 5_000

export function onPostgres(
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
