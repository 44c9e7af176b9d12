// The outcome of one attempt to send a webhook, and the class of a network error. The classes are stored and shown: rename no class.

import { errors } from 'undici'
import { InsecureUrlError, LookupError, RefusedAddressError } from './guarded-connect.ts'
import { storableText } from './reply.ts'

const MESSAGE_BYTES_MAX = 512

export type SendErrorClass =
  /** The host, or one of its addresses, is outside global unicast and not exempted. */
  | 'refused_address'
  | 'invalid_url'
  /** Over http, where the operator allows only https. */
  | 'insecure_url'
  /** The name did not resolve. */
  | 'dns'
  | 'connect'
  | 'tls'
  /** The total time has passed; `httpStatus` shows whether a reply had begun. */
  | 'timeout'
  /** The established connection broke. */
  | 'reset'
  /** The reply was not HTTP. */
  | 'bad_reply'
  /** The reply's headers were too large. A large body is no failure. */
  | 'too_large'
  | 'redirect'
  /** A complete reply with a status other than 2xx or 3xx. */
  | 'http_status'

export interface SendOutcome {
  readonly kind: 'delivered' | 'failed'
  readonly httpStatus: number | null
  /** Null exactly when delivered. */
  readonly errorClass: SendErrorClass | null
  /** For the endpoint's owner, at most 512 bytes. */
  readonly message: string
  /** The first bytes of the reply as text, at most 4 KB; null when there was no body. */
  readonly replySnippet: string | null
  readonly durationMs: number
  /** At most 24 h. */
  readonly retryAfterMs: number | null
  /** True when a repeated attempt cannot help until the URL or the operator's allowance changes. */
  readonly final: boolean
}

/** The part of a failure determined by the error. */
export interface Failure {
  readonly errorClass: SendErrorClass
  readonly message: string
}

const CONNECT_CODES: ReadonlySet<string> = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'EHOSTDOWN',
  'ENETUNREACH',
  'ENETDOWN',
  'EADDRNOTAVAIL',
  'EACCES',
  'EPERM',
])
const TIMEOUT_CODES: ReadonlySet<string> = new Set(['ETIMEDOUT', 'UND_ERR_CONNECT_TIMEOUT'])
const RESET_CODES: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'UND_ERR_SOCKET'])

/** Classifies a network error. `sending`: the request had been handed to a connection; `secure`: over https. */
export function classifyError(error: Error, { sending, secure }: { sending: boolean; secure: boolean }): Failure {
  return { errorClass: errorClassOf(error, sending, secure), message: storableMessage(error) }
}

function errorClassOf(error: Error, sending: boolean, secure: boolean): SendErrorClass {
  if (error instanceof RefusedAddressError) return 'refused_address'
  if (error instanceof InsecureUrlError) return 'insecure_url'
  if (error instanceof LookupError) return 'dns'
  if (error instanceof errors.HTTPParserError) return 'bad_reply'
  const code = codeOf(error)
  if (TIMEOUT_CODES.has(code)) return 'timeout'
  if (CONNECT_CODES.has(code)) return 'connect'
  if (code === 'UND_ERR_HEADERS_OVERFLOW') return 'too_large'
  // A server may refuse a certificate only after the handshake.
  if (code.startsWith('ERR_SSL_') || code.startsWith('ERR_TLS_')) return 'tls'
  if (sending || RESET_CODES.has(code)) return 'reset'
  // Certificate errors have dozens of codes; no other error remains while an https connection is being made.
  return secure ? 'tls' : 'connect'
}

function codeOf(error: Error): string {
  return 'code' in error && typeof error.code === 'string' ? error.code : ''
}

function storableMessage(error: Error): string {
  // An attempt on several addresses fails with an AggregateError whose own message is empty.
  const text = error instanceof AggregateError ? error.errors.map(String).join('; ') : error.message
  return storableText(Buffer.from(text || codeOf(error) || error.name), MESSAGE_BYTES_MAX)
}
