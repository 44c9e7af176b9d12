// The whole pipeline of a generation with real parts: API and two workers as separate apps, Postgres, the queues' backend, the simulator
// over HTTP, and an endpoint whose webhooks are verified by the official library.

import { buildSimulator } from '@reelqueue/simulator/app'
import { Webhook } from 'standardwebhooks'
import { expect } from 'vitest'
import { clientOf, generationOf } from './api.ts'
import { createDatabase } from './database.ts'
import { startRedis, type TestRedis } from './redis.ts'
import { type Relay, startRelay } from './relay.ts'
import { startTestApp, type TestApp, type TestAppOptions } from './test-app.ts'
import { until } from './wait.ts'
import { closeEndpoints, endpoint } from './webhook-endpoint.ts'

/** A part of every prompt, which logs must never contain. */
const PROMPT_MARK = 'zebras under an umbrella'
const UPSTREAM_KEY = 'upstream-key-that-pays'
export const BACKENDS = ['postgres', 'redis'] as const
type Backend = (typeof BACKENDS)[number]

export interface Receipt {
  readonly webhookId: string
  readonly path: string
  readonly body: string
  readonly type: string
  readonly data: { readonly id: string; readonly status?: string }
}

export interface Pipeline {
  readonly api: TestApp
  readonly workers: readonly TestApp[]
  readonly redis: TestRedis | null
  /** The relay between the apps and their Redis. */
  readonly relay: Relay | null
  readonly simulator: ReturnType<typeof buildSimulator>
  /** The environment for a further API or worker process of this pipeline. */
  readonly environment: Readonly<Record<string, string>>
  /** The webhook URL of a path: `/flaky` answers 500 to the first attempt of each event. */
  hook(path: '/hook' | '/flaky'): string
  /** Every received webhook, verified. @throws Error when a webhook does not verify */
  receipts(): Receipt[]
  /** Accepts a generation whose prompt contains `tags`. @returns its id */
  post(tags: string, fields?: Record<string, unknown>): Promise<string>
  postBatch(items: readonly Record<string, unknown>[], fields?: Record<string, unknown>): Promise<string>
  get(id: string): Promise<ReturnType<typeof generationOf>>
  /** Waits for the end. */
  ended(id: string): Promise<ReturnType<typeof generationOf>>
  ledger(id: string): Promise<{ state: string; errorCode: string | null }[]>
  /** The provider's received requests for a generation: each request may have been paid. */
  submissions(id: string): Promise<number>
  totalSubmissions(): Promise<number>
  /** All log lines of all apps, as text. */
  logs(): Promise<string>
  /** Texts that no log may contain. */
  readonly secrets: readonly string[]
  /** Starts a further worker, as a separate app. */
  startWorker(): Promise<TestApp>
  /** Stops the apps; the logs stay readable. */
  stopTestApps(): Promise<void>
  close(): Promise<void>
}

export interface PipelineOptions {
  readonly backend: Backend
  readonly workers?: number
  /** Renders are faster than in the real world by this factor: at 1 a render takes about a minute and a half. */
  readonly speed?: number
  readonly env?: TestAppOptions['env']
  /** Whether Redis is down at first; `redis.restart()` starts Redis. */
  readonly redisLater?: boolean
}

export async function startPipeline({ backend, workers = 2, speed = 300, env, redisLater }: PipelineOptions) {
  const database = await createDatabase()
  const redis = backend === 'redis' ? await startRedis() : null
  const relay = redis && (await startRelay({ host: '127.0.0.1', port: Number(new URL(redis.url).port) }))
  if (redisLater) await redis?.stop()
  const simulator = buildSimulator({ speed })
  const upstreamUrl = await simulator.listen({ host: '127.0.0.1', port: 0 })
  const refusedOnce = new Set<string>()
  const hooks = await endpoint((response) => {
    const id = String(response.req.headers['webhook-id'])
    const refuse = response.req.url === '/flaky' && !refusedOnce.has(id)
    refusedOnce.add(id)
    response.writeHead(refuse ? 500 : 204).end()
  })
  const options: TestAppOptions = {
    databaseUrl: database.url,
    ...(relay && { redisUrl: `redis://127.0.0.1:${relay.port}` }),
    env: {
      UPSTREAM_BASE_URL: upstreamUrl,
      UPSTREAM_API_KEY: UPSTREAM_KEY,
      UPSTREAM_TIMEOUT_MS: '3000',
      POLL_INTERVAL_MIN_MS: '100',
      POLL_INTERVAL_MAX_MS: '500',
      ...env,
    },
  }
  const api = await startTestApp({ ...options, api: true })
  const running: TestApp[] = []
  const startWorker = async () => {
    const worker = await startTestApp({ ...options, worker: true })
    running.push(worker)
    return worker
  }
  for (let count = 0; count < workers; count++) await startWorker()
  const client = clientOf(api.url, api.key)
  let posted = 0

  const promptOf = (tags: string) => `${PROMPT_MARK} ${++posted} ${tags}`
  const requests = async () => {
    const reply = await simulator.inject('/control/submissions')
    return reply.json<{ total: number; submissions: { prompt: string }[] }>()
  }
  const get = async (id: string) => generationOf(await client.get(`/v1/generations/${id}`))
  const stopTestApps = async () => {
    await Promise.all([api, ...running].map((app) => app.close()))
  }

  return {
    api,
    workers: running,
    redis,
    relay,
    simulator,
    environment: {
      ...api.environment,
      DATABASE_URL: options.databaseUrl,
      ...(options.redisUrl && { REDIS_URL: options.redisUrl }),
    },
    secrets: [PROMPT_MARK, UPSTREAM_KEY, api.key, api.webhookSecret, api.webhookSecret.slice('whsec_'.length)],
    hook: (path) => `http://127.0.0.1:${hooks.port}${path}`,
    receipts: () => hooks.seen.requests.map((request) => verified(request, api.webhookSecret)),
    async post(tags, fields = {}) {
      const body = { model: 'openAiSora2Plus', prompt: promptOf(tags), ...fields }
      const reply = await client.post('/v1/generations', body)
      expect(reply.status, reply.text).toBe(202)
      return generationOf(reply).id
    },
    async postBatch(items, fields = {}) {
      const prompts = items.map((item) => ({ ...item, prompt: promptOf(String(item.prompt ?? '')) }))
      const reply = await client.post('/v1/batches', { ...fields, items: prompts })
      expect(reply.status, reply.text).toBe(202)
      return String((JSON.parse(reply.text) as { id: string }).id)
    },
    get,
    ended: (id) =>
      until(
        `${id} has ended`,
        async () => {
          const reply = await client.get(`/v1/generations/${id}?wait=5`)
          const generation = generationOf(reply)
          if (generation.finished_at) return generation
          throw new Error(`${generation.status}: ${generation.prompt}`)
        },
        { timeoutMs: 50_000 },
      ),
    ledger: (id) =>
      api.database.prisma.submission.findMany({
        where: { generationId: id },
        select: { state: true, errorCode: true },
        orderBy: { id: 'asc' },
      }),
    async submissions(id) {
      const { prompt } = await get(id)
      return (await requests()).submissions.filter((one) => one.prompt === prompt).length
    },
    totalSubmissions: async () => (await requests()).total,
    async logs() {
      const lines = await Promise.all([api, ...running].map((app) => app.logLines()))
      return lines
        .flat()
        .map((line) => JSON.stringify(line))
        .join('\n')
    },
    startWorker,
    stopTestApps,
    async close() {
      await stopTestApps()
      await simulator.close()
      await closeEndpoints()
      await relay?.cut()
      await redis?.destroy()
      await database.drop()
    },
  } satisfies Pipeline
}

function verified(
  request: { headers: Record<string, string | string[] | undefined>; url: string; body: string },
  secret: string,
): Receipt {
  const header = (name: string) => String(request.headers[name])
  const { type, data } = new Webhook(secret).verify(request.body, {
    'webhook-id': header('webhook-id'),
    'webhook-timestamp': header('webhook-timestamp'),
    'webhook-signature': header('webhook-signature'),
  }) as Pick<Receipt, 'type' | 'data'>
  return { webhookId: header('webhook-id'), path: request.url, body: request.body, type, data }
}
