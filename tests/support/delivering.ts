// Delivers by direct calls, with a real Postgres and real servers in the role of a customer's endpoint.

import { newId } from '@reelqueue/contract/terms/ids'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { findDelivery } from '@reelqueue/shared/store/deliveries/delivery-log'
import { createEndpoint, type NewEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { moveGenerations } from '@reelqueue/shared/store/lifecycle/moves'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { createOrigins } from '@reelqueue/worker/origins'
import { attemptDue, type DeliverDeps } from '@reelqueue/worker/steps/deliver'
import { afterAll, afterEach, beforeEach } from 'vitest'
import { seedDatabase } from './seed.ts'
import { stepDeps } from './step-deps.ts'
import { startTestApp } from './test-app.ts'
import { closeEndpoints } from './webhook-endpoint.ts'

/** A delivering worker for the tests of a file: before each test no delivery is pending, and no endpoint exists. */
export async function startDelivering() {
  const seed = await seedDatabase()
  const app = await startTestApp({ databaseUrl: seed.url })
  const { sealer } = app.context
  const webhooks = createGuardedClient({ allowedNetworks: ['127.0.0.0/8'], timeoutMs: 1_000 })
  const running = new AbortController()
  let deps: DeliverDeps
  const projectSecret = newWebhookSecret()
  await seed.sql('UPDATE projects SET webhook_secret = $1', [sealer.seal(projectSecret, secretPlace(seed.projectId))])

  beforeEach(async () => {
    deps = { ...stepDeps(app), webhooks, origins: createOrigins() }
    await seed.sql(
      `UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now() WHERE state = 'pending'`,
    )
    await seed.sql(`UPDATE webhook_endpoints SET disabled_at = now(), deleted_at = now()`)
  })
  afterEach(closeEndpoints)
  afterAll(async () => {
    await webhooks.close()
    await app.close()
    await seed.close()
  })

  return {
    seed,
    sealer,
    projectSecret,
    /** The dependencies of the present test. */
    deps: () => deps,
    async attempt(id: string, changed: Partial<DeliverDeps> = {}) {
      const dispatched = await deps.batches.findDispatched(id)
      if (dispatched) await attemptDue({ ...deps, ...changed }, id, dispatched, running.signal)
    },
    async addEndpoint(url: string, eventTypes: readonly string[] = [], more: Partial<NewEndpoint> = {}) {
      const secret = newWebhookSecret()
      const id = more.id ?? newId('endpoint')
      const sealedSecret = sealer.seal(secret, secretPlace(id))
      const row = { id, projectId: seed.projectId, url, description: null, eventTypes, sealedSecret, ...more }
      const made = await createEndpoint(seed.database, row)
      if (made.kind !== 'created') throw new Error(made.kind)
      return { ...made.endpoint, secret }
    },
    /** Cancels generations with a webhook to `url`. @returns the pending deliveries to `url` */
    async pending(url: string, count = 1): Promise<string[]> {
      const ids: string[] = []
      for (let n = 0; n < count; n++) ids.push(await seed.queued({ webhookUrl: url }))
      await moveGenerations(seed.database.prisma, ids, 'cancel', { set: Prisma.sql`due_at = NULL` })
      // The move itself returns only a few of the deliveries.
      const where = { url, event: { generationId: { in: ids } } }
      const made = await seed.database.prisma.delivery.findMany({ where, select: { id: true }, orderBy: { id: 'asc' } })
      return made.map((one) => one.id)
    },
    async read(id: string) {
      const row = await findDelivery(seed.database, seed.projectId, id)
      if (!row) throw new Error(`no delivery ${id}`)
      return row
    },
  }
}
