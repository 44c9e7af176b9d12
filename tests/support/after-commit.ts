// What follows commits, counted: a house with an API and an admitter and without a worker. Its jobs stay in the queues, and nothing
// reconciles, so that a forgotten job is missing for ever.

import { newId } from '@reelqueue/contract/terms/ids'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { createEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { insertBatch } from '@reelqueue/shared/store/intake/batches'
import { addApiKey, ensureProject } from '@reelqueue/shared/store/projects'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { createOrigins } from '@reelqueue/worker/origins'
import { vi } from 'vitest'
import { clientOf } from './api.ts'
import type { BACKENDS } from './pipeline.ts'
import { startRedis } from './redis.ts'
import { startScriptedUpstream } from './scripted-upstream.ts'
import { seedDatabase } from './seed.ts'
import { afterCommitOf, stepDeps } from './step-deps.ts'
import { startTestApp } from './test-app.ts'
import { until } from './wait.ts'

export const HOOK = 'http://127.0.0.1:9/hook'
const QUEUES = ['submit', 'complete', 'deliver', 'maintain'] as const
const TABLES = { submit: 'generations', complete: 'generations', deliver: 'deliveries', maintain: null } as const

/** How many rows were enqueued for each queue, and how often what is no job was asked for. What is absent did not happen. */
type Followed = Readonly<
  Partial<Record<(typeof QUEUES)[number] | 'laneWakes' | 'retriesSoon' | 'rendersNoted', number>>
>

export async function startCounting(backend: (typeof BACKENDS)[number]) {
  const seed = await seedDatabase()
  const redis = backend === 'redis' ? await startRedis() : undefined
  const provider = await startScriptedUpstream()
  const env = { UPSTREAM_API_KEY: 'key', UPSTREAM_BASE_URL: provider.origin, UPSTREAM_MAX_IN_FLIGHT: '1000' }
  const app = await startTestApp({ databaseUrl: seed.url, ...(redis && { redisUrl: redis.url }), env, api: true })
  const { queues, admitter, changer, fanOuts } = app.context
  const pollerStarts = vi.spyOn(queues.pollers, 'start')
  // A timer would add its job in the middle of a later test.
  const retriesSoon = vi.spyOn(queues, 'enqueueLater').mockReturnValue()
  const noteRender = vi.fn<(id: string) => void>()
  const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: 1_000 })
  const webhooks = createGuardedClient({ allowedNetworks: ['127.0.0.0/8'], timeoutMs: 1_000 })
  const { id: otherProjectId } = await ensureProject(seed.database, 'other', () => 'sealed')
  await addApiKey(seed.database, seed.projectId, 'counting', app.key)
  const known = new Set<string>()
  let marks = 0

  /** Rows enqueued since the last look. A job added last tells that all before it have been added. */
  async function enqueued(name: (typeof QUEUES)[number]): Promise<number> {
    const mark = `mark_${++marks}`
    queues.enqueueAgain(name, mark)
    const waiting = () => queues.queues[name].getWaiting()
    await until(`${mark} is added`, async () => (await waiting()).some((job) => job.data.id === mark))
    let rows = 0
    for (const { id, data } of (await waiting()).filter((job) => !known.has(`${name} ${job.id}`))) {
      known.add(`${name} ${id}`)
      if (data.id.startsWith('mark_')) continue
      rows += 1 + (data.also?.length ?? 0)
      const table = TABLES[name]
      if (table === null) continue
      const [row] = await seed.sql<{ dispatchCount: number }>(
        `SELECT wakes AS "dispatchCount" FROM ${table} WHERE id = $1`,
        [data.id],
      )
      // The dispatch count is part of the id of the job: with another one, the job would not be the row's next.
      if (!id?.startsWith(`${data.id}.${row?.dispatchCount}`))
        throw new Error(`${id} has another dispatch count: ${row?.dispatchCount}`)
    }
    return rows
  }

  return {
    seed,
    provider,
    app,
    client: clientOf(app.url, app.key),
    /** Of a worker that calls steps by hand. */
    deps: {
      ...stepDeps(app),
      afterCommit: afterCommitOf(app, () => admitter.admit(), noteRender),
      upstream,
      webhooks,
      origins: createOrigins(),
    },
    /** A batch that wants a webhook and has no generations yet. */
    async batch(): Promise<string> {
      const id = newId('batch')
      const none = { parentId: null, metadata: null, idempotencyKey: null, idempotencyHash: null }
      await insertBatch(seed.database, { id, projectId: seed.projectId, webhookUrl: HOOK, ...none }, [])
      return id
    },
    async endpoint(url: string, eventTypes: readonly string[] = []): Promise<string> {
      const id = newId('endpoint')
      const sealedSecret = app.context.sealer.seal(app.webhookSecret, secretPlace(id))
      await createEndpoint(seed.database, {
        id,
        projectId: seed.projectId,
        url,
        description: null,
        eventTypes,
        sealedSecret,
      })
      return id
    },
    /** What follows `act`. A generation of another project waits in the meantime: `submit` counts it where admission ran. */
    async following(act: () => Promise<unknown>): Promise<Followed> {
      await admitter.idle()
      await seed.sql(
        `UPDATE generations SET status = 'cancelled', finished_at = now() WHERE project_id = $1 AND status = 'queued'`,
        [otherProjectId],
      )
      await seed.queued({ projectId: otherProjectId })
      for (const spy of [pollerStarts, retriesSoon, noteRender]) spy.mockClear()
      await act()
      for (const part of [changer, fanOuts, admitter]) await part.idle()
      const counts = {
        pollerStarts: pollerStarts.mock.calls.length,
        retriesSoon: retriesSoon.mock.calls.length,
        rendersNoted: noteRender.mock.calls.length,
        ...Object.fromEntries(await Promise.all(QUEUES.map(async (name) => [name, await enqueued(name)] as const))),
      }
      return Object.fromEntries(Object.entries(counts).filter(([, count]) => count > 0))
    },
    /** Before each test: nothing is open, pending or waited for. */
    async clear(): Promise<void> {
      await admitter.idle()
      await seed.sql(
        `TRUNCATE unstorable_rows, pending_fan_outs, delivery_attempts, deliveries, events, submissions, generations, batches,
           admissions, upstream_gates, webhook_endpoints, target_rests CASCADE`,
      )
      await seed.sql('UPDATE projects SET paused_at = NULL')
    },
    async close(): Promise<void> {
      await app.close()
      await upstream.close()
      await webhooks.close()
      await provider.stop()
      await redis?.destroy()
      await seed.close()
    },
  }
}
