// The only exit for webhooks: one POST to a permitted address, everything bounded, no redirect followed.
// Easy to get wrong: undici cannot abort a request that still waits for a connection. So the deadline settles the outcome by itself, and a
// request whose connection comes later is dropped before the first byte is written.

import { checkWebhookUrl } from '@reelqueue/contract/terms/webhook-url'
import { Agent, type Dispatcher, errors } from 'undici'
import { parseRetryAfter } from '../domain/retry-after.ts'
import { createAddressGuard } from './address-guard.ts'
import { createGuardedConnector, type Lookup } from './guarded-connect.ts'
import { createProjectLookups } from './project-lookups.ts'
import { storableText } from './reply.ts'
import { createResolveName } from './resolve-name.ts'
import { classifyError, type Failure, type SendErrorClass, type SendOutcome } from './send-outcome.ts'

const SEND_TIMEOUT_MS_DEFAULT = 15_000

/** For one project. The requests in flight to an origin are bounded elsewhere (apps/worker). */
const CONNECTIONS_PER_ORIGIN_MAX = 64
/** Projects whose connections are kept; beyond the bound, the connections of projects without requests in flight are closed. */
const PROJECTS_KEPT_MAX = 200
/** However long an endpoint offers to keep an idle connection open. */
const IDLE_CONNECTION_MS_MAX = 30_000
const REPLY_BYTES_READ_MAX = 64 * 1_024
const REPLY_BYTES_KEPT_MAX = 4 * 1_024
/** A timer this late fires after a suspend of the machine. */
const AFTER_SLEEP_MS = 50
const RETRY_AFTER_MS_MAX = 24 * 3_600_000

export interface GuardedClientOptions {
  /** CIDR blocks exempt from the rule that only global unicast is permitted. */
  readonly allowedNetworks: readonly string[]
  /** Default true. Whether http may go anywhere; when false, http may go only to `allowedNetworks`. */
  readonly allowHttp?: boolean
  /** Default 15 s. Total time of a post: waiting for a connection, connecting, sending and reading to the last byte. */
  readonly timeoutMs?: number
  /** Replaces name resolution in tests. */
  readonly lookup?: Lookup
}

export interface GuardedClient {
  /**
   * Sends one POST for a project and returns the outcome. Delivered means: a 2xx status, and a reply that ended or exceeded the 64 KB
   * limit of reading. Never throws for any behaviour of the network or the endpoint; rejects for a header that HTTP does not allow, and
   * after `close`. Projects share neither connections nor waiting name look-ups.
   */
  post(projectId: string, url: string, headers: Readonly<Record<string, string>>, body: string): Promise<SendOutcome>
  /** Waits for the posts in flight, then closes all connections. Repeated calls are allowed. */
  close(): Promise<void>
}

/** Throws an Error when an allowed network is not a CIDR block. */
export function createGuardedClient(options: GuardedClientOptions): GuardedClient {
  const { allowedNetworks, allowHttp = true, timeoutMs = SEND_TIMEOUT_MS_DEFAULT } = options
  const guard = createAddressGuard(allowedNetworks)
  const lookupOf = createProjectLookups(options.lookup ?? createResolveName(), timeoutMs)
  const projects = new Map<string, Project>()
  let closing: Promise<unknown> | undefined

  function projectOf(id: string): Project {
    const known = projects.get(id)
    if (known) return known
    if (projects.size >= PROJECTS_KEPT_MAX) closeIdle()
    const agent = new Agent({
      connect: createGuardedConnector({ guard, allowHttp, timeoutMs, lookup: lookupOf() }),
      connections: CONNECTIONS_PER_ORIGIN_MAX,
      keepAliveMaxTimeout: IDLE_CONNECTION_MS_MAX,
      // The deadline in `send` covers headers and body.
      headersTimeout: 0,
      bodyTimeout: 0,
    })
    const project = { agent, underWay: 0 }
    projects.set(id, project)
    return project
  }

  function closeIdle(): void {
    for (const [id, { agent, underWay }] of projects) {
      if (underWay > 0) continue
      projects.delete(id)
      agent.close().catch(() => undefined)
    }
  }

  return {
    post: async (projectId, url, headers, body) => {
      if (closing) throw new errors.ClientClosedError()
      const checked = checkWebhookUrl(url)
      if (!checked.ok) {
        const failure: Failure = { errorClass: 'invalid_url', message: checked.message }
        return outcomeOf(new Reply(), failure, 0)
      }
      const project = projectOf(projectId)
      project.underWay++
      try {
        return await send(project.agent, checked.url, headers, body, timeoutMs)
      } finally {
        project.underWay--
      }
    },
    close: async () => {
      closing ??= Promise.all([...projects.values()].map(({ agent }) => agent.close()))
      await closing
    },
  }
}

interface Project {
  readonly agent: Agent
  underWay: number
}

/** The part of the reply received so far. */
class Reply {
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

function send(
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
function outcomeOf(reply: Reply, failure: Failure | null, durationMs: number): SendOutcome {
  // A status that already means failure says more than the later break of the body.
  const verdict = verdictOfStatus(reply.httpStatus) ?? failure
  return {
    kind: verdict === null ? 'delivered' : 'failed',
    httpStatus: reply.httpStatus,
    errorClass: verdict?.errorClass ?? null,
    message: verdict?.message ?? `the endpoint answered ${reply.httpStatus}`,
    replySnippet: reply.snippet(),
    durationMs,
    retryAfterMs: reply.retryAfterMs,
    final: FINAL.includes(verdict?.errorClass ?? null),
  }
}

/** A repeated attempt cannot help. */
const FINAL: readonly (SendErrorClass | null)[] = ['refused_address', 'invalid_url', 'insecure_url']

function verdictOfStatus(httpStatus: number | null): Failure | null {
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
