// A pool of Postgres connections whose ends and settings are its own.

import { EventEmitter } from 'node:events'
import pg from 'pg'
import { sessionOf } from './postgres-session.ts'

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Opens a pool; nothing connects until first used. `onError` hears of connections that broke while nobody used them (the pool replaces
 * them by itself).
 * @param schema where names without a schema are looked up
 * @param session what each connection sets beside what every session has; may be empty
 */
export function openPool(
  url: string,
  schema: string,
  session: string,
  options: Pick<pg.PoolConfig, 'max' | 'query_timeout' | 'application_name'>,
  onError: (error: Error) => void,
): pg.Pool {
  // Its types do not know that pg takes a time limit for a single query.
  const setting: pg.QueryConfig & { query_timeout: number } = {
    text: `${sessionOf(schema)}; ${session}`,
    query_timeout: CONNECT_TIMEOUT_MS,
  }
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // The pool waits for the answer, and gives up a connection that does not set it.
    onConnect: (client) => client.query(setting),
    ...options,
  })
  pool.on('error', onError)
  // pg-pool takes its own listener off while it hands a connection over: one that breaks in that moment would end the
  // process. Nothing is hidden: the next query on it fails.
  pool.on('connect', (client) => client.on('error', () => undefined))
  leaveReadOnly(pool)
  return pool
}

/** SQLSTATE of a statement that would write in a read-only transaction. */
const READ_ONLY = '25006'

/**
 * A server that was demoted keeps its connections, and a session keeps the default that it began with. So a connection on which a write
 * was refused is closed when it comes back: the next one may lead to the new primary, or find writing allowed again.
 */
function leaveReadOnly(pool: pg.Pool): void {
  const readOnly = new WeakSet<pg.PoolClient>()
  pool.on('connect', (client) => {
    // Errors of statements reach only those who sent them; the messages of the protocol tell of all.
    const connection: unknown = Reflect.get(client, 'connection')
    if (!(connection instanceof EventEmitter)) return
    connection.on('errorMessage', (message: { readonly code?: unknown }) => {
      if (message.code === READ_ONLY) readOnly.add(client)
    })
  })
  pool.on('release', (_error, client) => {
    // pg-pool emits this before it looks whether the connection has ended.
    if (readOnly.has(client)) Reflect.apply(client.end, client, []).catch(() => undefined)
  })
}
