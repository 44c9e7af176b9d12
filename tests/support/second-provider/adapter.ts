// A second provider for tests, with a wire format of its own: another path, another login, faults with a kind instead
// of an HTTP status, waits in the body, and an account route as the free request. The contract suite plays the server.

import type { ProviderFacts } from '@reelqueue/shared/domain/provider-facts'
import type { RefusalClass } from '@reelqueue/shared/domain/refusal'
import type { RenderRequest } from '@reelqueue/shared/domain/render-request'
import { exchange } from '@reelqueue/shared/providers/http/exchange'
import { keepReply } from '@reelqueue/shared/providers/http/keep-reply'
import { readUnansweredCreate, readUnansweredPoll } from '@reelqueue/shared/providers/http/no-answer'
import type { Reply } from '@reelqueue/shared/providers/http/reply'
import type { PollAnswer, Provider, SubmitReading, Upstream, UpstreamOptions } from '@reelqueue/shared/providers/port'
import { Agent } from 'undici'
import { z } from 'zod'

const NAME = 'second'
const FACTS: ProviderFacts = {
  linkLifeMs: 3_600_000,
  taskMemoryMs: 7_200_000,
  renderMaxMs: 600_000,
  pollAdvice: { intervalMinMs: 100, intervalMaxMs: 500 },
}

const fault = z.object({
  kind: z.string(),
  words: z.string().default(''),
  wait_ms: z.number().nullable().default(null),
})
const created = z.object({ job: z.object({ ref: z.string() }) })
const seen = z.object({
  job: z.object({
    phase: z.string(),
    file: z.object({ href: z.string(), seconds: z.number() }).optional(),
    fault: fault.optional(),
  }),
})
const refused = z.object({ fault })

/** The meaning of the kinds of faults. Another kind concerns the request. */
const CLASSES: Readonly<Partial<Record<string, RefusalClass>>> = {
  bad_key: 'account',
  no_funds: 'account',
  too_fast: 'rate',
  full: 'capacity',
  forbidden_content: 'moderation',
}

const MODELS = ['openAiSora2Pro']

export const secondProvider: Provider = {
  name: NAME,
  facts: FACTS,
  models: MODELS,
  open: createSecond,
}

function createSecond({ baseUrl, apiKey, timeoutMs }: UpstreamOptions): Upstream {
  const agent = new Agent({ headersTimeout: 0, bodyTimeout: 0, pipelining: 1 })
  const { origin } = new URL(baseUrl)
  const headers = { 'x-key': apiKey }
  const get = (path: string) => exchange(agent, { origin, path, method: 'GET', headers }, timeoutMs)
  return {
    name: NAME,
    models: MODELS,
    facts: FACTS,
    async submit(request) {
      const create = {
        origin,
        path: '/jobs',
        method: 'POST',
        headers: { ...headers, 'content-type': 'application/json' },
        body: bodyOf(request),
      } as const
      const answer = await exchange(agent, create, timeoutMs)
      const reading = answer.kind === 'silence' ? readUnansweredCreate(answer) : readCreated(answer)
      return { ...reading, reply: keepReply(answer, [apiKey, request.prompt]) }
    },
    async poll(taskId) {
      const answer = await get(`/jobs/${encodeURIComponent(taskId)}`)
      return answer.kind === 'silence' ? readUnansweredPoll(answer) : readSeen(answer)
    },
    async ping() {
      const answer = await get('/account')
      if (answer.kind === 'silence') return { kind: 'silent', code: answer.cause, message: 'no answer' }
      if (answer.httpStatus === 200) return { kind: 'answered', code: null, message: '' }
      const kind = parse(refused, answer)?.fault.kind
      return { kind: kind === 'bad_key' ? 'refused' : 'unclear', code: kind ?? 'unreadable', message: '' }
    },
    async close() {
      await agent.destroy()
    },
  }
}

function bodyOf({ model, prompt, size, seconds, inputReference }: RenderRequest): string {
  return JSON.stringify({ engine: model, text: prompt, clip: { size, seconds }, stills: inputReference ?? [] })
}

function readCreated(reply: Reply): SubmitReading {
  const { httpStatus } = reply
  const ref = parse(created, reply)?.job.ref
  if (httpStatus < 300 && ref !== undefined) return { kind: 'accepted', taskId: ref }
  const unclear = { code: `second_http_${httpStatus}`, message: 'The answer is not clear.', httpStatus }
  if (httpStatus < 400 || httpStatus >= 500 || reply.cut !== null) return { kind: 'unknown', ...unclear }
  const said = parse(refused, reply)?.fault
  if (!said) {
    return { kind: 'rejected', class: 'configuration', ...unclear, retryable: false, retryAfterMs: null }
  }
  const refusalClass = CLASSES[said.kind] ?? 'request'
  return {
    kind: 'rejected',
    class: refusalClass,
    code: `second_${said.kind}`,
    message: said.words,
    httpStatus,
    retryable: refusalClass === 'rate' || refusalClass === 'capacity',
    retryAfterMs: said.wait_ms,
  }
}

function readSeen(reply: Reply): PollAnswer {
  const job = parse(seen, reply)?.job
  if (reply.httpStatus !== 200 || !job) {
    const code = parse(refused, reply)?.fault.kind ?? 'unreadable'
    const unavailable = { kind: 'unavailable', httpStatus: reply.httpStatus, code, message: '' } as const
    return { ...unavailable, retryAfterMs: reply.retryAfterMs, isUnknownTask: code === 'no_such_job' }
  }
  const { phase, file, fault: said } = job
  if (phase === 'broken')
    return { kind: 'failed', code: said?.kind ?? 'broken', message: said?.words ?? '', cost: null }
  if (phase !== 'ready' || !file) return { kind: 'pending', status: phase, completedWithoutUrl: phase === 'ready' }
  const { href: videoUrl, seconds: actualDuration } = file
  return { kind: 'completed', videoUrl, actualDuration, cost: null, linkLifeMs: FACTS.linkLifeMs }
}

function parse<T>(shape: z.ZodType<T>, { text }: Reply): T | null {
  try {
    return shape.safeParse(JSON.parse(text)).data ?? null
  } catch {
    // The text is not JSON.
    return null
  }
}
