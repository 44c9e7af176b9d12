// The adapter of the provider "GlobalAI OPC". Creates are paid and go out on connections that are fresh or were
// in use within the last second; polls are free and pool as they like. All judgement is in the readers.

import { Agent } from 'undici'
import { FAILURES } from '../../domain/failure.ts'
import { findModel } from '../../domain/models.ts'
import { pollTimeoutMs } from '../../domain/poll-plan.ts'
import type { RenderRequest } from '../../domain/render-request.ts'
import { exchange } from '../http/exchange.ts'
import { keepReply } from '../http/keep-reply.ts'
import { readSilentCreate, readSilentPoll } from '../http/silence.ts'
import { wellFormed } from '../http/storable-text.ts'
import { HEAD_BYTES_MAX, tolerantConnect } from '../http/tolerant-connect.ts'
import { createTunnelAgent } from '../http/tunnel.ts'
import type { Upstream } from '../port.ts'
import { parseBaseUrl } from './base-url.ts'
import { parseCreate } from './parse-create.ts'
import { parsePoll } from './parse-poll.ts'

export interface GlobalAiOptions {
  /** With or without a trailing slash or `/v1`. */
  readonly baseUrl: string
  readonly apiKey: string
  /** Total for one create, from connecting to the last byte of the answer; a poll has `pollTimeoutMs` of it. */
  readonly timeoutMs: number
  /** URL of the proxy that leads there, with its password if it has one; absent or null: none does. */
  readonly proxy?: string | null
}

// One total timeout governs (http/exchange.ts): two clocks would mean two readings of the same silence.
const timing = {
  connect: tolerantConnect(10_000),
  maxHeaderSize: HEAD_BYTES_MAX,
  headersTimeout: 0,
  bodyTimeout: 0,
  pipelining: 1,
} as const
// Both bounds: a server's Keep-Alive hint overrides the first, up to the second.
const CREATE_IDLE_MAX_MS = 1_000

/** The adapter. Throws for a base URL or key that cannot be used; its calls then never throw. */
export function createGlobalAi({ baseUrl, apiKey, timeoutMs, proxy = null }: GlobalAiOptions): Upstream {
  const { origin, path } = parseBaseUrl(baseUrl)
  if (!/^[\x21-\x7e]+$/.test(apiKey)) throw new Error('the upstream API key must be printable ASCII without spaces')
  const open = (options: Agent.Options) => (proxy === null ? new Agent(options) : createTunnelAgent(proxy, options))
  const creates = open({
    ...timing,
    keepAliveTimeout: CREATE_IDLE_MAX_MS,
    keepAliveMaxTimeout: CREATE_IDLE_MAX_MS,
  })
  const polls = open(timing)
  // Compression is read all the same (http/read-body.ts); without it less can go wrong.
  const headers = { authorization: `Bearer ${apiKey}`, accept: 'application/json', 'accept-encoding': 'identity' }

  return {
    name: 'globalai',

    async submit(request) {
      const model = findModel(request.model)
      if (model === null) {
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
        path: `${path}${model.createPath}`,
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: createBody(request),
      }
      const answer = await exchange(creates, create, timeoutMs)
      const reading =
        answer.kind === 'silence'
          ? readSilentCreate(answer)
          : parseCreate(answer, [apiKey, request.prompt], request.prompt)
      return { ...reading, reply: keepReply(answer, [apiKey, request.prompt]) }
    },

    async poll(taskId) {
      // Origin and path apart: as one URL, an id such as ".." would walk out of the path.
      const resultPath = `${path}/v1/result/${encodeURIComponent(wellFormed(taskId))}`
      const poll = { origin, path: resultPath, method: 'GET', headers } as const
      const answer = await exchange(polls, poll, pollTimeoutMs(timeoutMs))
      return answer.kind === 'silence' ? readSilentPoll(answer) : parsePoll(answer, [apiKey])
    },

    async close() {
      await Promise.all([creates.close(), polls.destroy()])
    },
  }
}

/** The provider's own field names; absent fields are left out, for it does not document null. */
function createBody({ model, prompt, size, seconds, inputReference }: RenderRequest): string {
  return JSON.stringify({
    model,
    prompt,
    size: size ?? undefined,
    seconds: seconds ?? undefined,
    input_reference: inputReference ?? undefined,
  })
}
