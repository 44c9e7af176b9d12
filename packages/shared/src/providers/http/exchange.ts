// One HTTP request and its answer, read to the end or to a bound. It never throws, and it knows whether the
// request had begun to be written. Dispatched with a handler of its own because undici's `request` does not
// tell that, and because its abort signal waits for a connection attempt instead of ending it.

import { Buffer } from 'node:buffer'
import type { Dispatcher } from 'undici'
import { parseRetryAfter } from '../../domain/retry-after.ts'
import { readBody } from './read-body.ts'
import type { Reply, Silence } from './reply.ts'
import { networkCause } from './silence.ts'

const ANSWER_BYTES_MAX = 1_048_576
/** A provider that says "tomorrow" must not park a generation past its video's one-day life. */
const RETRY_AFTER_MAX_MS = 3_600_000

/** Headers of an answer that are worth keeping as evidence. */
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
/** Turns of the event loop that data may go on coming in after the time is up. */
const LAST_TURNS_MAX = 100

/**
 * Sends one request, once: no redirect is followed and nothing is repeated. `timeoutMs` is the total from
 * connecting to the last byte. Resolves always; an answer cut short keeps its status and the part that came.
 */
export function exchange(
  agent: Pick<Dispatcher, 'dispatch'>,
  request: Dispatcher.DispatchOptions,
  timeoutMs: number,
): Promise<Reply | Silence> {
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
    // INVARIANT: data before clocks. After a sleep of the process the timer fires before the sockets are read, so
    // the answer may be there already. What is still connecting is given up at once: it must not be sent now.
    const timer = setTimeout(
      () => (sent ? settleOnceQuiet(bytes, LAST_TURNS_MAX) : settle('timeout', 'TIMEOUT')),
      timeoutMs,
    )
    const settleOnceQuiet = (bytesBefore: number, turns: number) => {
      // Two: an encrypted connection may need the second one to hand over what the first has read.
      setImmediate(() =>
        setImmediate(() => {
          if (settled) return
          if (bytes === bytesBefore || turns === 0) settle('timeout', 'TIMEOUT')
          else settleOnceQuiet(bytes, turns - 1)
        }),
      )
    }

    agent.dispatch(request, {
      // Called in the same tick as, and before, the first byte is written.
      onRequestStart(controller) {
        // INVARIANT: given up while still connecting means never sent; started once means never started again.
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

/** The bytes that the parser of HTTP refused, as far as it tells. */
function refusedBytes(error: Error): Buffer {
  const data = 'data' in error ? error.data : null
  return typeof data === 'string' || data instanceof Uint8Array ? Buffer.from(data) : Buffer.alloc(0)
}
