// A thousand webhooks for a server that never answers, and other webhooks that must not wait.

import { afterEach, describe, expect, it } from 'vitest'
import { clientOf } from './support/api.ts'
import { createDatabase } from './support/database.ts'
import { BACKENDS } from './support/pipeline.ts'
import { startRedis } from './support/redis.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'
import { closeEndpoints, endpoint } from './support/webhook-endpoint.ts'

const DEAD = 1_000
const LIVE = 100
const MODEL = { model: 'openAiSora2Plus', prompt: 'waves' }

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  // Closed first, so that no step waits for the answers.
  await closeEndpoints()
  for (const close of closers.splice(0).reverse()) await close()
})

describe.each(BACKENDS)('on %s', (backend) => {
  it.each([
    ['private URLs on one dead server', false],
    ['events for a dead endpoint', true],
  ])(
    `${DEAD} %s delay ${LIVE} webhooks for another by no more than a second`,
    async (_, isEndpoint) => {
      const database = await createDatabase()
      closers.push(() => database.drop())
      const redis = backend === 'redis' ? await startRedis() : null
      if (redis) closers.push(() => redis.destroy())
      const app = await startTestApp({
        databaseUrl: database.url,
        ...(redis && { redisUrl: redis.url }),
        env: { RECONCILE_INTERVAL_MS: '1000' },
        api: true,
        worker: true,
      })
      closers.push(() => app.close())
      const client = clientOf(app.url, app.key)
      const dead = await endpoint(() => undefined)
      const arrived: number[] = []
      const live = await endpoint((response) => {
        arrived.push(Date.now())
        response.end()
      })
      /** Requests webhooks, all at once. */
      const cancelled = async (urls: readonly (string | null)[]) => {
        const items = urls.map((webhook_url) => ({ ...MODEL, webhook_url }))
        const { id } = JSON.parse((await client.post('/v1/batches', { items })).text) as { id: string }
        expect((await client.post(`/v1/batches/${id}/cancel`)).status).toBe(200)
      }
      /** Delivery times of the live webhooks in ms, in ascending order. */
      const liveOnes = async () => {
        arrived.length = 0
        const askedAt = Date.now()
        await cancelled(Array.from({ length: LIVE }, (_, n) => `${live.url}&n=${n}`))
        await until('the live ones', () => arrived.length >= LIVE, { timeoutMs: 50_000 })
        return arrived.map((at) => at - askedAt).sort((one, other) => one - other)
      }
      const alone = await liveOnes()
      if (isEndpoint) {
        const made = await client.post('/v1/webhook_endpoints', {
          url: dead.url,
          event_types: ['generation.cancelled'],
        })
        expect(made.status).toBe(201)
      }
      await cancelled(Array.from({ length: DEAD }, (_, n) => (isEndpoint ? null : `${dead.url}&n=${n}`)))
      await until('the dead one is asked', () => dead.seen.requests.length > 0)
      const beside = await liveOnes()
      // Half of the live webhooks take at most a second longer than the slowest webhook without dead ones: a busy
      // machine slows both runs.
      expect(beside[LIVE / 2]).toBeLessThan((alone.at(-1) ?? 0) + 1_000)
      const pending = { url: { startsWith: dead.url }, state: 'pending' } as const
      // The endpoint gets the events of the live generations too.
      expect(await app.database.prisma.delivery.count({ where: pending })).toBe(isEndpoint ? DEAD + LIVE : DEAD)
      expect(dead.seen.requests.length).toBeLessThanOrEqual(10)
    },
    120_000,
  )
})
