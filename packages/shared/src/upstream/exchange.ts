// One HTTP request and its answer, read to the end or to a bound. It never throws, and it knows whether the
// request had begun to be written. Dispatched with a handler of its own because undici's `request` does not
// tell that, and because its abort signal waits for a connection attempt instead of ending it.

import { Buffer } from 'node:buffer'
import type { Agent, Dispatcher } from 'undici'
import { parseRetryAfter } from '../domain/retry-after.ts'
import { networkCause } from './errors.ts'
import type { Reply, Silence } from './reply.ts'

const ANSWER_BYTES_MAX = 1_048_576
/** A provider that says "tomorrow" must not park a generation past its video's one-day life. */
const RETRY_AFTER_MAX_MS = 3_600_000

/**
 * Sends one request, once: no redirect is followed and nothing is repeated. `timeoutMs` is the total from
 * connecting to the last byte. Resolves always; an answer cut short keeps its status and the part that came.
 */
export function exchange(
  agent: Pick<Agent, 'dispatch'>,
  request: Dispatcher.DispatchOptions,
  timeoutMs: number,
): Promise<Reply | Silence> {
  return new Promise((resolve) => {
    let sent = false
    let settled = false
    let inFlight: Dispatcher.DispatchController | null = null
    let head: { httpStatus: number; retryAfterMs: number | null; isCloudflare: boolean } | null = null
    const chunks: Buffer[] = []
    let bytes = 0

    const settle = (cut: Reply['cut'], cause: string) => {
      if (settled) return
      settled = true
      clearTimeout(timer)
      if (head === null) {
        resolve({ kind: 'silence', sent, timedOut: cut === 'timeout', cause })
      } else {
        resolve({ kind: 'reply', ...head, text: new TextDecoder().decode(Buffer.concat(chunks)), cut })
      }
      if (cut !== null) inFlight?.abort(new Error(cause))
    }
    const timer = setTimeout(() => settle('timeout', 'TIMEOUT'), timeoutMs)

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
        const retryAfter = headers['retry-after']
        const header = Array.isArray(retryAfter) ? retryAfter[0] : retryAfter
        const isCloudflare = headers['cf-ray'] !== undefined || String(headers.server).toLowerCase() === 'cloudflare'
        head = { httpStatus, retryAfterMs: parseRetryAfter(header, Date.now(), RETRY_AFTER_MAX_MS), isCloudflare }
      },
      onResponseData(_controller, chunk) {
        if (settled) return
        bytes += chunk.length
        if (bytes > ANSWER_BYTES_MAX) settle('too_large', 'TOO_LARGE')
        else chunks.push(chunk)
      },
      onResponseEnd() {
        settle(null, 'NONE')
      },
      onResponseError(_controller, error) {
        settle('connection_lost', networkCause(error))
      },
    })
  })
}
