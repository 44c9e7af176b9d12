// A project with thousands of servers that never answer, and another project whose webhook must not wait.

import { once } from 'node:events'
import http from 'node:http'
import type { AddressInfo } from 'node:net'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { addApiKey, ensureProject, newApiKey } from '@reelqueue/shared/store/projects'
import { afterEach, describe, expect, it } from 'vitest'
import { type Client, clientOf } from './support/api.ts'
import { createDatabase } from './support/database.ts'
import { BACKENDS } from './support/pipeline.ts'
import { startRedis } from './support/redis.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'
import { closeEndpoints, endpoint } from './support/webhook-endpoint.ts'

/**
 * More than a worker would attempt within two rounds of fifteen seconds, if each delivery were attempted when its job
 * is taken.
 */
const DEAD = 2_500
const MODEL = { model: 'openAiSora2Plus', prompt: 'waves' }

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  await closeEndpoints()
  for (const close of closers.splice(0).reverse()) await close()
})

/** Answers no request, at any address of 127.0.0.0/8. */
async function startDeadServer() {
  const hosts = new Set<string>()
  const server = http.createServer((request) => hosts.add(request.headers.host ?? ''))
  server.listen(0, '0.0.0.0')
  await once(server, 'listening')
  closers.push(async () => {
    server.close()
    server.closeAllConnections()
    await once(server, 'close')
  })
  const { port } = server.address() as AddressInfo
  return { hosts, urlOf: (n: number) => `http://127.1.${n >> 8}.${n & 255}:${port}/hook` }
}

async function cancelled(client: Client, urls: readonly string[]): Promise<void> {
  const items = urls.map((webhook_url) => ({ ...MODEL, webhook_url }))
  const { id } = JSON.parse((await client.post('/v1/batches', { items })).text) as { id: string }
  expect((await client.post(`/v1/batches/${id}/cancel`)).status).toBeLessThan(300)
}

describe.each(BACKENDS)('on %s', (backend) => {
  it(`${DEAD} servers of one project that never answer do not delay the webhook of another`, async () => {
    const database = await createDatabase()
    closers.push(() => database.drop())
    const redis = backend === 'redis' ? await startRedis() : null
    if (redis) closers.push(() => redis.destroy())
    const app = await startTestApp({
      databaseUrl: database.url,
      ...(redis && { redisUrl: redis.url }),
      api: true,
      worker: true,
    })
    closers.push(() => app.close())
    const { id: quietId } = await ensureProject(app.database, 'quiet', (id) =>
      app.context.sealer.seal(app.webhookSecret, secretPlace(id)),
    )
    const key = newApiKey()
    await addApiKey(app.database, quietId, 'key', key)
    const [loud, quiet] = [clientOf(app.url, app.key), clientOf(app.url, key)]
    const dead = await startDeadServer()
    const live = await endpoint()

    await cancelled(
      loud,
      Array.from({ length: DEAD }, (_, n) => dead.urlOf(n)),
    )
    await until('all are owed', async () => (await app.database.prisma.delivery.count()) === DEAD)
    // The other project's job comes after a job for each dead server.
    const pending = await app.database.prisma.delivery.findMany({ select: { id: true } })
    app.queues.enqueue(
      'deliver',
      pending.map(({ id }) => ({ id, dispatchCount: 99 })),
    )
    await until('the dead ones are asked', () => dead.hosts.size >= 50)
    await cancelled(quiet, [live.url])
    await until('the webhook of the other project has come', () => live.seen.requests.length === 1, {
      timeoutMs: 10_000,
    })
    // Few at once, although a thousand may run.
    expect(dead.hosts.size).toBeLessThanOrEqual(150)
  }, 120_000)
})
