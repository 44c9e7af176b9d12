// A single connection outside the pool, for work on a database before the processes use the database. The operator must
// correct the errors of this work, so the messages are written for people.

import pg from 'pg'
import { sessionOf, TABLES_SCHEMA } from '../runtime/postgres-session.ts'

/** A fault of the database that its operator must correct. The message names the fault, and never a password. */
export class DatabaseError extends Error {
  override name = 'DatabaseError'
}

export interface OwnConnection {
  readonly client: pg.Client
  /** host:port/database */
  readonly location: string
  /** The last error of the connection itself, if there was an error. */
  readonly brokenBy: () => unknown
}

/**
 * Connects; the caller ends the client.
 * @throws DatabaseError with the location, the reason, and a hint
 */
export async function connect(
  databaseUrl: string,
  config: Omit<pg.ClientConfig, 'connectionString'>,
): Promise<OwnConnection> {
  const client = newClient({ ...config, connectionString: databaseUrl })
  const location = `${client.host}:${client.port}/${client.database ?? ''}`
  let brokenBy: unknown
  client.on('error', (error) => {
    brokenBy = error
  })
  try {
    await client.connect()
    await client.query(sessionOf(TABLES_SCHEMA))
  } catch (cause) {
    client.end().catch(() => undefined)
    throw new DatabaseError(`Cannot connect to Postgres at ${location}: ${describe(cause)}. ${connectHint(cause)}`, {
      cause,
    })
  }
  return { client, location, brokenBy: () => brokenBy }
}

/** One line: Node reports a refused connection as an AggregateError without a message, and the engine adds a trace. */
export function describe(error: unknown): string {
  if (error instanceof AggregateError && error.message === '') return error.errors.map(describe).join('; ')
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? ''
}

function newClient(config: pg.ClientConfig): pg.Client {
  try {
    return new pg.Client(config)
  } catch (cause) {
    if (cause instanceof Error && 'path' in cause)
      throw new DatabaseError(
        `A file that DATABASE_URL names (sslrootcert, sslcert or sslkey) cannot be read: ${describe(cause)}.`,
        { cause },
      )
    throw new DatabaseError(
      'DATABASE_URL is not a Postgres URL; it looks like postgresql://user:password@host:5432/database.',
    )
  }
}

/** Codes of Node for an untrusted certificate. */
const CERTIFICATE_CODES = /CERT|VERIFY_LEAF_SIGNATURE/
/** A message of pg; the error has no code. */
const NO_TLS = 'The server does not support SSL connections'

function connectHint(cause: unknown): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === '28000' && /encryption/.test(describe(cause)))
    return 'It may want TLS: write sslmode=require in DATABASE_URL.'
  if (code === '28P01' || code === '28000') return 'Check the user and password in DATABASE_URL.'
  if (typeof code === 'string' && CERTIFICATE_CODES.test(code))
    return 'Name the file of its CA in DATABASE_URL (sslrootcert=/path/ca.pem) or in NODE_EXTRA_CA_CERTS, or accept any certificate with sslmode=no-verify.'
  if (cause instanceof Error && cause.message === NO_TLS)
    return 'Write sslmode=disable in DATABASE_URL, or turn TLS on in Postgres.'
  if (code === '3D000') return 'Create that database, or name an existing one in DATABASE_URL.'
  if (code === '53300') return 'Raise max_connections, or stop what holds the connections.'
  return 'Check that it is running and that DATABASE_URL names its host and port.'
}
