// Errors that mean that Postgres cannot work at present, and the causes. An error is recognised by SQLSTATE, by
// Prisma's code or by the network's code, because messages are in the server's language. A later retry is right for all
// these errors, so the API answers 503.

import { sqlState } from './sql-state.ts'

/** The cause in words for callers and operators, without internal names, addresses or paths. */
export const AWAY = {
  unreachable: 'Postgres does not answer',
  starting: 'Postgres is starting or stopping',
  refuses_login: 'Postgres refuses the login of Reelqueue',
  read_only: 'Postgres is read-only',
  disk_full: 'The disk of Postgres is full',
  out_of_memory: 'Postgres has no memory left',
  too_many_connections: 'Postgres takes no more connections',
  limit_reached: 'Postgres has reached a limit of its configuration',
  broken_files: 'Postgres cannot read or write its files',
  busy: 'Postgres is too busy',
} as const
export type Away = keyof typeof AWAY

/** Appendix A of Postgres' manual. A key of two characters is a whole class. */
const BY_SQLSTATE: Readonly<Record<string, Away>> = {
  '08': 'unreachable',
  '25006': 'read_only',
  // The session was ended because its transaction was idle, or took too long (Postgres 17 and newer).
  '25P03': 'unreachable',
  '25P04': 'busy',
  '28': 'refuses_login',
  '3D000': 'refuses_login',
  // Errors that remain after `withRetry`.
  '40001': 'busy',
  '40P01': 'busy',
  '53': 'limit_reached',
  '53100': 'disk_full',
  '53200': 'out_of_memory',
  '53300': 'too_many_connections',
  // "Object in use" and "lock not available".
  '55006': 'busy',
  '55P03': 'busy',
  // A statement that was ended by statement_timeout or by an operator.
  '57014': 'busy',
  '57P01': 'starting',
  '57P02': 'starting',
  '57P03': 'starting',
  // The database was dropped under the connection; idle_session_timeout.
  '57P04': 'refuses_login',
  '57P05': 'unreachable',
  '58': 'broken_files',
}

/** Codes of Prisma 7.10, with or without a SQLSTATE of the server. */
const BY_PRISMA: Readonly<Record<string, Away>> = {
  P1000: 'refuses_login',
  P1001: 'unreachable',
  P1002: 'unreachable',
  P1003: 'refuses_login',
  P1008: 'busy',
  P1010: 'refuses_login',
  P1011: 'unreachable',
  P1017: 'unreachable',
  P2024: 'busy',
  P2028: 'busy',
  P2034: 'busy',
  P2037: 'too_many_connections',
}

/** The kinds that @prisma/adapter-pg 7.10 gives to socket errors, which have no SQLSTATE. */
const ADAPTER_KINDS = ['DatabaseNotReachable', 'ConnectionClosed', 'SocketTimeout', 'TlsConnectionError']
/** Codes of Node. Codes unknown to the adapter pass through the adapter unchanged. */
const NETWORK =
  /^(ECONNREFUSED|ECONNRESET|ECONNABORTED|EPIPE|ETIMEDOUT|EHOSTUNREACH|EHOSTDOWN|ENETUNREACH|ENETDOWN|ENOTFOUND|EAI_AGAIN|EADDRNOTAVAIL)$/
/** Errors made by pg and pg-pool themselves have no code. Their words are always English. */
const OWN_WORDS = /Connection terminated|not queryable|timeout exceeded when trying to connect|Query read timeout/

/** The cause why Postgres cannot work at present; null when the error does not mean this. */
export function whyUnavailable(error: unknown): Away | null {
  if (!(error instanceof Error)) return null
  const code = 'code' in error ? String(error.code) : ''
  const state = sqlState(error)
  if (state !== undefined) return BY_SQLSTATE[state] ?? BY_SQLSTATE[state.slice(0, 2)] ?? null
  if (ADAPTER_KINDS.includes(adapterKind(error)) || NETWORK.test(code)) return 'unreachable'
  if (BY_PRISMA[code]) return BY_PRISMA[code]
  return OWN_WORDS.test(error.message) ? 'unreachable' : null
}

/** Whether an error means that Postgres cannot work at present, so that a later retry is right. */
export function isUnavailable(error: unknown): boolean {
  return whyUnavailable(error) !== null
}

/**
 * Whether a failure of a statement for many rows would also fail each row alone. One row may be the reason why a
 * statement took too long.
 */
export function isCommonFailure(error: unknown): boolean {
  const why = whyUnavailable(error)
  return why !== null && (why !== 'busy' || sqlState(error) === undefined)
}

function adapterKind(error: Error): string {
  const adapterError = 'meta' in error && isRecord(error.meta) ? error.meta.driverAdapterError : undefined
  const cause = adapterError instanceof Error ? adapterError.cause : undefined
  return isRecord(cause) && typeof cause.kind === 'string' ? cause.kind : ''
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
