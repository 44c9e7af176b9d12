// A pool of Postgres connections with our session settings, and with clean-up of broken and read-only connections.

import { EventEmitter } from 'node:events'
import pg from 'pg'
import { sessionOf } from './postgres-session.ts'

const CONNECT_TIMEOUT_MS = 10_000

/**
 * Opens a pool; the pool connects at first use. `onError` receives the errors of idle connections (the pool replaces broken connections
 * by itself).
 * @param schema where names without a schema are looked up
 * @param session extra SET statements for each connection, after the common settings; may be empty
 */
export function openPool(
  url: string,
  schema: string,
  session: string,
  options: Pick<pg.PoolConfig, 'max' | 'query_timeout' | 'application_name'>,
  onError: (error: Error) => void,
): pg.Pool {
  // pg's types omit the time limit of a single query.
  const setting: pg.QueryConfig & { query_timeout: number } = {
    text: `${sessionOf(schema)}; ${session}`,
    query_timeout: CONNECT_TIMEOUT_MS,
  }
  const pool = new pg.Pool({
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    // The pool waits for the answer, and discards a connection whose settings fail.
    onConnect: (client) => client.query(setting),
    ...options,
  })
  pool.on('error', onError)
  // pg-pool removes its own listener while handing a connection over: a connection breaking at that moment would end the process. No
  // error is hidden: the next query on the connection fails.
  pool.on('connect', (client) => client.on('error', () => undefined))
  leaveReadOnly(pool)
  return pool
}

/** SQLSTATE of a write in a read-only transaction. */
const READ_ONLY = '25006'

/**
 * A demoted server keeps its connections, and a session keeps the default of its beginning. So a connection with a refused write is
 * closed on release: the next connection may lead to the new primary, or find writes allowed again.
 */
function leaveReadOnly(pool: pg.Pool): void {
  const readOnly = new WeakSet<pg.PoolClient>()
  pool.on('connect', (client) => {
    // Errors of statements reach only their sender; protocol messages show every error.
    const connection: unknown = Reflect.get(client, 'connection')
    if (!(connection instanceof EventEmitter)) return
    connection.on('errorMessage', (message: { readonly code?: unknown }) => {
      if (message.code === READ_ONLY) readOnly.add(client)
    })
  })
  pool.on('release', (_error, client) => {
    // pg-pool emits this event before checking whether the connection has ended.
    if (readOnly.has(client)) Reflect.apply(client.end, client, []).catch(() => undefined)
  })
}
