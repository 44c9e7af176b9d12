// One request to a webhook receiver, and the outcome.

import { type Agent, type Dispatcher, errors } from 'undici'
import { parseRetryAfter } from '../domain/retry-after.ts'
import { storableText } from './reply.ts'
import { classifyError, type Failure, type SendErrorClass, type SendOutcome } from './send-outcome.ts'

const REPLY_BYTES_READ_MAX = 64 * 1_024

const REPLY_BYTES_KEPT_MAX = 4 * 1_024

/** A timer this late fires after a suspend of the machine. */
const AFTER_SLEEP_MS = 50

const RETRY_AFTER_MS_MAX = 24 * 3_600_000

/** The part of the reply received so far. */
export class Reply {
  httpStatus: number | null = null
  retryAfterMs: number | null = null
  bytesRead = 0
  readonly #kept: Buffer[] = []

  add(chunk: Buffer): void {
    if (this.bytesRead < REPLY_BYTES_KEPT_MAX) this.#kept.push(chunk)
    this.bytesRead += chunk.length
  }

  snippet(): string | null {
    return this.bytesRead === 0 ? null : storableText(Buffer.concat(this.#kept), REPLY_BYTES_KEPT_MAX)
  }
}

export function send(
  agent: Agent,
  url: URL,
  headers: Readonly<Record<string, string>>,
  body: string,
  timeoutMs: number,
): Promise<SendOutcome> {
  return new Promise((resolve, reject) => {
    const startedAt = performance.now()
    const reply = new Reply()
    let request: Dispatcher.DispatchController | null = null
    let settled = false

    const settle = (failure: Failure | null) => {
      if (settled) return
      settled = true
      clearTimeout(deadline)
      resolve(outcomeOf(reply, failure, Math.round(performance.now() - startedAt)))
    }
    const giveUp = () => {
      settle({ errorClass: 'timeout', message: timeoutMessage(timeoutMs, request !== null, reply.httpStatus) })
      request?.abort(new errors.RequestAbortedError())
    }
    // After a suspend of the machine the timer fires before the sockets are read: an answer already received counts.
    const deadline = setTimeout(() => {
      const isAfterSleep = performance.now() - startedAt > timeoutMs + AFTER_SLEEP_MS
      if (request !== null && isAfterSleep) setImmediate(() => setImmediate(giveUp))
      else giveUp()
    }, timeoutMs)

    const handler: Dispatcher.DispatchHandler = {
      onRequestStart(controller) {
        request = controller
        if (settled) controller.abort(new errors.RequestAbortedError())
      },
      onResponseStart(_controller, status, replyHeaders) {
        if (status < 200) return
        reply.httpStatus = status
        const retryAfter = replyHeaders['retry-after']
        reply.retryAfterMs = parseRetryAfter([retryAfter].flat()[0], Date.now(), RETRY_AFTER_MS_MAX)
      },
      onResponseData(controller, chunk) {
        reply.add(chunk)
        if (reply.bytesRead <= REPLY_BYTES_READ_MAX) return
        settle(null)
        controller.abort(new errors.RequestAbortedError())
      },
      onResponseEnd() {
        settle(null)
      },
      onResponseError(_controller, error) {
        if (isMisuse(error)) {
          clearTimeout(deadline)
          reject(error)
        } else {
          settle(classifyError(error, { sending: request !== null, secure: url.protocol === 'https:' }))
        }
      },
    }
    agent.dispatch({ origin: url.origin, path: url.pathname + url.search, method: 'POST', headers, body }, handler)
  })
}

/** `failure`: the error that interrupted the exchange; null when the reply ended or enough of the reply was read. */
export function outcomeOf(reply: Reply, failure: Failure | null, durationMs: number): SendOutcome {
  // A status that already means failure says more than the later break of the body.
  const decision = decisionOfStatus(reply.httpStatus) ?? failure
  return {
    kind: decision === null ? 'delivered' : 'failed',
    httpStatus: reply.httpStatus,
    errorClass: decision?.errorClass ?? null,
    message: decision?.message ?? `the endpoint answered ${reply.httpStatus}`,
    replySnippet: reply.snippet(),
    durationMs,
    retryAfterMs: reply.retryAfterMs,
    final: FINAL.includes(decision?.errorClass ?? null),
  }
}

/** A repeated attempt cannot help. */
const FINAL: readonly (SendErrorClass | null)[] = ['refused_address', 'invalid_url', 'insecure_url']

function decisionOfStatus(httpStatus: number | null): Failure | null {
  if (httpStatus === null || (httpStatus >= 200 && httpStatus < 300)) return null
  return httpStatus >= 300 && httpStatus < 400
    ? { errorClass: 'redirect', message: `the endpoint answered ${httpStatus}; redirects are not followed` }
    : { errorClass: 'http_status', message: `the endpoint answered ${httpStatus}` }
}

function timeoutMessage(timeoutMs: number, sending: boolean, httpStatus: number | null): string {
  if (httpStatus !== null)
    return `the endpoint answered ${httpStatus}, but its reply did not end within ${timeoutMs} ms`
  if (sending) return `no answer within ${timeoutMs} ms`
  return `no connection could be made, or none was free, within ${timeoutMs} ms; nothing was sent`
}

/** Errors caused by a bug of the caller, not by the network. */
function isMisuse(error: Error): boolean {
  return (
    error instanceof errors.InvalidArgumentError ||
    error instanceof errors.ClientClosedError ||
    error instanceof errors.ClientDestroyedError
  )
}
