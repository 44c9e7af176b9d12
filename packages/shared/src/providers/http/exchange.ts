// A single HTTP request with the reply, read to the end or to a bound. Never throws, and knows whether writing the
// request had begun. Uses a dispatch handler: undici's `request` does not report the start of writing, and its abort
// signal waits for a connection attempt instead of ending the attempt.

import { Buffer } from 'node:buffer'
import type { Dispatcher } from 'undici'
import { parseRetryAfter } from '../../domain/retry-after.ts'
import { networkCause } from './no-answer.ts'
import { readBody } from './read-body.ts'
import type { NoAnswer, Reply } from './reply.ts'

const ANSWER_BYTES_MAX = 1_048_576
/** A longer Retry-After must not delay a generation beyond the video link's life of a day. */
const RETRY_AFTER_MAX_MS = 3_600_000

/** Reply headers kept as evidence. */
const HEADERS_KEPT = [
  'content-type',
  'content-encoding',
  'content-length',
  'date',
  'server',
  'via',
  'cf-ray',
  'x-request-id',
  'retry-after',
]
const HEADER_CHARS_MAX = 200
/** Limit of event loop turns for data that arrives after the timeout. */
const LAST_TURNS_MAX = 100

/**
 * Sends a request once: follows no redirect, repeats nothing. `timeoutMs` covers connecting to the last byte. Always
 * resolves; a truncated reply keeps the status and the received part.
 */
export function exchange(
  agent: Pick<Dispatcher, 'dispatch'>,
  request: Dispatcher.DispatchOptions,
  timeoutMs: number,
): Promise<Reply | NoAnswer> {
  return new Promise((resolve) => {
    let sent = false
    let settled = false
    let inFlight: Dispatcher.DispatchController | null = null
    let head: Pick<Reply, 'httpStatus' | 'retryAfterMs' | 'headers' | 'isCloudflare'> | null = null
    const chunks: Buffer[] = []
    let bytes = 0

    const settle = (cut: Reply['cut'], cause: string, received = '') => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      if (cut !== null) inFlight?.abort(new Error(cause))
      if (head === null) {
        resolve({ kind: 'silence', sent, timedOut: cut === 'timeout', cause, received })
        return
      }
      const answered = head
      const { headers } = answered
      const encoding = {
        contentEncoding: headers['content-encoding'] ?? '',
        contentType: headers['content-type'] ?? '',
      }
      void readBody(Buffer.concat(chunks), encoding, ANSWER_BYTES_MAX).then(({ text, isTooLarge }) => {
        resolve({ kind: 'reply', ...answered, bytes, text, cut: isTooLarge ? 'too_large' : cut })
      })
    }
    // INVARIANT: received data wins over the timeout. After the process slept, the timer fires before the sockets are
    // read, so the reply may already be there. A request still connecting is abandoned at once: a later send would be
    // too late.
    const timer = setTimeout(
      () => (sent ? settleOnceQuiet(bytes, LAST_TURNS_MAX) : settle('timeout', 'TIMEOUT')),
      timeoutMs,
    )
    const settleOnceQuiet = (bytesBefore: number, turns: number) => {
      // Two turns: an encrypted connection may need the second turn to deliver the data of the first.
      setImmediate(() =>
        setImmediate(() => {
          if (settled) return
          if (bytes === bytesBefore || turns === 0) settle('timeout', 'TIMEOUT')
          else settleOnceQuiet(bytes, turns - 1)
        }),
      )
    }

    agent.dispatch(request, {
      // undici calls this handler right before writing the first byte, in the same tick.
      onRequestStart(controller) {
        // INVARIANT: abandoned while connecting means never sent; started once means never started again.
        if (settled || sent) {
          controller.abort(new Error('given up'))
          return
        }
        sent = true
        inFlight = controller
      },
      onResponseStart(_controller, httpStatus, headers) {
        if (httpStatus < 200) return
        const kept = keptHeaders(headers)
        const retryAfterMs = parseRetryAfter(kept['retry-after'], Date.now(), RETRY_AFTER_MAX_MS)
        const isCloudflare = kept['cf-ray'] !== undefined || kept.server?.toLowerCase() === 'cloudflare'
        head = { httpStatus, retryAfterMs, headers: kept, isCloudflare }
      },
      onResponseData(_controller, chunk) {
        if (settled) return
        bytes += chunk.length
        chunks.push(chunk)
        if (bytes > ANSWER_BYTES_MAX) settle('too_large', 'TOO_LARGE')
      },
      onResponseEnd() {
        settle(null, 'NONE')
      },
      onResponseError(_controller, error) {
        const refused = refusedBytes(error)
        if (head !== null && !settled) chunks.push(refused)
        settle('connection_lost', networkCause(error), refused.toString('latin1'))
      },
    })
  })
}

function keptHeaders(headers: Record<string, string | string[] | undefined>): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const name of HEADERS_KEPT) {
    const value = headers[name]
    const text = Array.isArray(value) ? value.join(', ') : value
    if (text !== undefined) kept[name] = text.slice(0, HEADER_CHARS_MAX)
  }
  return kept
}

/** The bytes refused by the HTTP parser, if the error contains the bytes. */
function refusedBytes(error: Error): Buffer {
  const data = 'data' in error ? error.data : null
  return typeof data === 'string' || data instanceof Uint8Array ? Buffer.from(data) : Buffer.alloc(0)
}
