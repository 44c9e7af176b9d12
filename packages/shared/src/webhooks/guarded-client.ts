// The only exit for webhooks: one POST to a permitted address, everything bounded, no redirect followed.
// Easy to get wrong: undici cannot abort a request that still waits for a connection. So the deadline settles the outcome by itself, and a
// request whose connection comes later is dropped before the first byte is written.

import { checkWebhookUrl } from '@reelqueue/contract/terms/webhook-url'
import { Agent, errors } from 'undici'
import { createAddressGuard } from './address-guard.ts'
import { createGuardedConnector, type Lookup } from './guarded-connect.ts'
import { createProjectLookups } from './project-lookups.ts'
import { createResolveName } from './resolve-name.ts'
import type { Failure, SendOutcome } from './send-outcome.ts'
import { outcomeOf, Reply, send } from './send-webhook.ts'

const SEND_TIMEOUT_MS_DEFAULT = 15_000

/** For one project. The requests in flight to an origin are bounded elsewhere (apps/worker). */
const CONNECTIONS_PER_ORIGIN_MAX = 64

/** Projects whose connections are kept; beyond the bound, the connections of projects without requests in flight are closed. */
const PROJECTS_KEPT_MAX = 200

/** However long an endpoint offers to keep an idle connection open. */
const IDLE_CONNECTION_MS_MAX = 30_000

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
