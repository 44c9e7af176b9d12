// A Redis that is down or hangs: accepting continues quickly, readiness names the queue, and afterwards the work is
// done automatically, each submission once.

import { readiness } from '@reelqueue/contract/wire/readiness'
import { afterEach, describe, expect, it } from 'vitest'
import { clientOf, generationOf, MINIMAL, type Reply, send } from './support/api.ts'
import { type Pipeline, startPipeline } from './support/pipeline.ts'
import type { TestRedis } from './support/redis.ts'
import type { Relay } from './support/relay.ts'
import { until } from './support/wait.ts'

let pipeline: Pipeline | undefined
afterEach(async () => {
  await pipeline?.close()
  pipeline = undefined
})

/** The promised limit for a caller, in every state of Redis. */
const ACCEPTED_WITHIN_MS = 1_000

interface Timed extends Reply {
  /** Time beyond a read sent at the same moment: the machine may be busy, but no request waits for Redis. */
  readonly extraMs: number
}
async function timed(asking: () => Promise<Reply>, reading: () => Promise<Reply>): Promise<Timed> {
  const askedAt = performance.now()
  const since = async (replying: Promise<Reply>) => ({ reply: await replying, ms: performance.now() - askedAt })
  const [asked, read] = await Promise.all([since(asking()), since(reading())])
  return { ...asked.reply, extraMs: asked.ms - read.ms }
}
function expectAccepted(replies: readonly Timed[]): void {
  expect(replies.filter((reply) => reply.status !== 202)).toEqual([])
  expect(Math.max(...replies.map((reply) => reply.extraMs))).toBeLessThan(ACCEPTED_WITHIN_MS)
}

async function start() {
  pipeline = await startPipeline({
    backend: 'redis',
    env: { RECONCILE_INTERVAL_MS: '1000', UPSTREAM_MAX_IN_FLIGHT: '300', UPSTREAM_TIMEOUT_MS: '30000' },
  })
  const { api, redis, relay } = pipeline
  if (!redis || !relay) throw new Error('no Redis')
  const client = clientOf(api.url, api.key)
  const read = () => client.get('/v1/generations?limit=1')
  const accept = () => timed(() => client.post('/v1/generations', MINIMAL), read)
  const acceptBatch = () => timed(() => client.post('/v1/batches', { items: [MINIMAL, MINIMAL] }), read)
  const readyz = async () => {
    const reply = await send('GET', `${api.url}/readyz`)
    return { code: reply.status, ...readiness.parse(JSON.parse(reply.text)).checks }
  }
  const allCompleted = (count: number) =>
    until(
      `${count} have completed`,
      async () => (await api.database.prisma.generation.count({ where: { status: 'completed' } })) === count,
      { timeoutMs: 50_000 },
    )
  return { ...pipeline, redis, relay, client, accept, acceptBatch, readyz, allCompleted }
}

const REQUESTS = 200
const OUTAGE_MS = 30_000

it(`accepts ${REQUESTS} requests within a second each while Redis is down for 30 s, and then submits each of them once`, async () => {
  const { redis, accept, readyz, allCompleted, totalSubmissions } = await start()
  await redis.kill()
  const downAt = performance.now()
  const replies: Promise<Timed>[] = []
  for (let turn = 0; turn < REQUESTS; turn++) {
    await until('its turn has come', () => performance.now() - downAt >= (turn * OUTAGE_MS) / REQUESTS)
    replies.push(accept())
  }
  await until('the outage is over', () => performance.now() - downAt >= OUTAGE_MS)
  expect(await readyz()).toMatchObject({ code: 503, postgres: { ok: true }, queue: { ok: false } })
  await redis.restart()
  expectAccepted(await Promise.all(replies))
  await allCompleted(REQUESTS)
  expect(await totalSubmissions()).toBe(REQUESTS)
  await until('it is ready', async () => (await readyz()).code === 200)
}, 120_000)

const HANGS: Readonly<
  Record<string, { begin(redis: TestRedis, relay: Relay): void; end(redis: TestRedis, relay: Relay): void }>
> = {
  'is stopped like a debugged process': {
    begin: ({ pid }) => process.kill(pid, 'SIGSTOP'),
    end: ({ pid }) => process.kill(pid, 'SIGCONT'),
  },
  'takes connections and never answers': {
    begin: (_, relay) => relay.swallow(),
    end: (_, relay) => relay.serve(),
  },
}

describe.each(Object.keys(HANGS))('a Redis that %s', (name) => {
  it('delays no request, is named by readiness, and is waited for', async () => {
    const { redis, relay, client, accept, acceptBatch, readyz, allCompleted, totalSubmissions } = await start()
    const before = await Promise.all([accept(), accept()])
    HANGS[name]?.begin(redis, relay)
    const during = await Promise.all([accept(), acceptBatch(), accept(), acceptBatch()])
    expectAccepted([...before, ...during])
    expect(await readyz()).toMatchObject({ code: 503, postgres: { ok: true }, queue: { ok: false } })
    // Long enough for pending commands to time out and for connections to be retried.
    await until('the API has dropped its wake-ups', async () => (await pipeline?.logs())?.includes('queue.dropped'), {
      timeoutMs: 20_000,
    })
    expectAccepted(await Promise.all([accept(), acceptBatch()]))
    const [first] = before
    if (!first) throw new Error('nothing was accepted')
    const { id } = generationOf(first)
    expect((await client.get(`/v1/generations/${id}`)).status).toBe(200)
    expect((await client.get('/v1/generations')).status).toBe(200)

    HANGS[name]?.end(redis, relay)
    await allCompleted(11)
    expect(await totalSubmissions()).toBe(11)
    await until('it is ready', async () => (await readyz()).code === 200)
  }, 120_000)
})
