// The adapter of the provider "GlobalAI OPC". Creates are paid and use a new connection, or a connection used within
// the last second; polls are free and use an ordinary pool. The readers interpret all replies.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import { Agent } from 'undici'
import { pollTimeoutMs } from '../../domain/poll-plan.ts'
import type { RenderRequest } from '../../domain/render-request.ts'
import { exchange } from '../http/exchange.ts'
import { keepReply } from '../http/keep-reply.ts'
import { readUnansweredCreate, readUnansweredPoll } from '../http/no-answer.ts'
import { wellFormed } from '../http/storable-text.ts'
import { HEAD_BYTES_MAX, tolerantConnect } from '../http/tolerant-connect.ts'
import { createTunnelAgent } from '../http/tunnel.ts'
import type { PollAnswer, Upstream, UpstreamOptions } from '../port.ts'
import { parseBaseUrl } from './base-url.ts'
import { CREATE_PATHS, FACTS, NAME } from './facts.ts'
import { parseCreate } from './parse-create.ts'
import { parsePoll } from './parse-poll.ts'
import { NO_TASK, readPing } from './read-ping.ts'

// Only the total timeout applies (http/exchange.ts): two timeouts could interpret the same silence differently.
const timing = {
  connect: tolerantConnect(10_000),
  maxHeaderSize: HEAD_BYTES_MAX,
  headersTimeout: 0,
  bodyTimeout: 0,
  pipelining: 1,
} as const
// Both options are set: a server's Keep-Alive hint replaces the first, up to the second.
const CREATE_IDLE_MAX_MS = 1_000

/** Creates the adapter. Throws for an unusable base URL or key; later calls never throw. */
export function createGlobalAi({ baseUrl, apiKey, timeoutMs, proxy = null }: UpstreamOptions): Upstream {
  const { origin, path } = parseBaseUrl(baseUrl)
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new Error('the upstream API key must be printable ASCII without spaces')
  const open = (options: Agent.Options) => (proxy === null ? new Agent(options) : createTunnelAgent(proxy, options))
  const creates = open({
    ...timing,
    keepAliveTimeout: CREATE_IDLE_MAX_MS,
    keepAliveMaxTimeout: CREATE_IDLE_MAX_MS,
  })
  const polls = open(timing)
  // Compressed replies are still read (http/read-body.ts); uncompressed replies have fewer faults.
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json', 'accept-encoding': 'identity' }

  async function poll(taskId: string): Promise<PollAnswer> {
    // Origin and path are separate: in a single URL an id such as ".." would leave the path.
    const resultPath = `${path}/v1/result/${encodeURIComponent(wellFormed(taskId))}`
    const request = { origin, path: resultPath, method: 'GET', headers } as const
    const reply = await exchange(polls, request, pollTimeoutMs(timeoutMs))
    const answer = reply.kind === 'silence' ? readUnansweredPoll(reply) : parsePoll(reply, [apiKey])
    return answer.kind === 'completed' ? { ...answer, linkLifeMs: FACTS.linkLifeMs } : answer
  }

  return {
    name: NAME,
    models: Object.keys(CREATE_PATHS),
    facts: FACTS,

    async submit(request) {
      const createPath = Object.hasOwn(CREATE_PATHS, request.model) ? CREATE_PATHS[request.model] : undefined
      if (createPath === undefined) {
        return {
          kind: 'rejected',
          class: 'request',
          code: 'unknown_model',
          message: FAILURES.unknown_model,
          httpStatus: null,
          retryable: false,
          retryAfterMs: null,
        }
      }
      const create = {
        origin,
        path: `${path}${createPath}`,
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: createBody(request),
      }
      const answer = await exchange(creates, create, timeoutMs)
      const reading =
        answer.kind === 'silence'
          ? readUnansweredCreate(answer)
          : parseCreate(answer, [apiKey, request.prompt], request.prompt)
      return { ...reading, reply: keepReply(answer, [apiKey, request.prompt]) }
    },

    poll,

    ping: async () => readPing(await poll(NO_TASK)),

    async close() {
      await Promise.all([creates.close(), polls.destroy()])
    },
  }
}

/** The provider's field names; absent fields are omitted, because null is not documented. */
function createBody({ model, prompt, size, seconds, inputReference }: RenderRequest): string {
  return JSON.stringify({
    model,
    prompt,
    size: size ?? undefined,
    seconds: seconds ?? undefined,
    input_reference: inputReference ?? undefined,
  })
}
