// A single round of reconcile, run by hand: recovered rows after the queues were wiped, and untouched rows.

import { newId } from '@reelqueue/contract/terms/ids'
import { ensurePollers, POLLERS, readPollers } from '@reelqueue/shared/queues/pollers'
import { readBatch } from '@reelqueue/shared/store/intake/batches'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { adjustPollers } from '@reelqueue/worker/adjust-pollers'
import { reconcile } from '@reelqueue/worker/steps/reconcile'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { claimDelivery } from './support/deliveries.ts'
import { endGeneration } from './support/endings.ts'
import { BACKENDS } from './support/pipeline.ts'
import { startRedis, type TestRedis } from './support/redis.ts'
import { type Seed, seedDatabase } from './support/seed.ts'
import { stepDeps } from './support/step-deps.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

let marks = 0

describe.each(BACKENDS)('on %s, one round', (backend) => {
  let seed: Seed
  let app: TestApp
  let redis: TestRedis | undefined
  beforeEach(async () => {
    seed = await seedDatabase()
    redis = backend === 'redis' ? await startRedis() : undefined
    app = await startTestApp({ databaseUrl: seed.url, ...(redis && { redisUrl: redis.url }) })
  })
  afterEach(async () => {
    await app.close()
    await redis?.destroy()
    await seed.close()
  })

  const round = (database = seed.database) => reconcile({ ...stepDeps(app), database })
  /**
   * The ids enqueued so far. Enqueueing keeps the order, so the arrival of a last mark shows that all ids have arrived.
   */
  const enqueued = async (name: 'submit' | 'complete' | 'deliver') => {
    const last = `last_${++marks}`
    app.queues.enqueue(name, [{ id: last, dispatchCount: 0 }])
    const ids = async () => (await app.queues.queues[name].getWaiting()).map((job) => job.data.id)
    await until('all wake-ups are added', async () => (await ids()).includes(last))
    return (await ids()).filter((id) => !id.startsWith('last_'))
  }
  const pollers = () => app.queues.queues.poll.getJobSchedulersCount()
  const inBackOff = async (table: 'generations' | 'deliveries', ids: readonly string[]) => {
    await seed.sql(`UPDATE ${table} SET wakes = 9, due_at = now() + interval '119 s' WHERE id = ANY ($1)`, [ids])
  }
  const delivery = async () => {
    await endGeneration(seed.database, await seed.queued({ webhookUrl: 'https://e.com' }), 'completed')
    const [row] = await seed.sql<{ id: string }>('SELECT id FROM deliveries ORDER BY id DESC LIMIT 1')
    return row?.id ?? ''
  }

  it('after a wipe creates every poller and enqueues every row that needs a step, also rows enqueued shortly before', async () => {
    const admitted = await seed.admitted()
    const { id: leased } = await seed.submitting()
    const processing = await seed.processing()
    const pending = await delivery()
    const inFlight = await delivery()
    await claimDelivery(seed.database, inFlight, 45_000)
    await inBackOff('generations', [admitted, leased])
    await inBackOff('deliveries', [pending, inFlight])
    const before = await seed.row(processing)

    await round()
    expect(await pollers()).toBe(POLLERS)
    expect(await enqueued('submit')).toEqual([admitted])
    expect(await enqueued('deliver')).toEqual([pending])
    // The row belongs to the pollers.
    expect(await enqueued('complete')).toEqual([])
    expect(await seed.row(processing)).toEqual(before)

    await round()
    expect([await enqueued('submit'), await enqueued('deliver')]).toEqual([[admitted], [pending]])
  })

  it('finishes a batch whose last generation ended without anyone noticing', async () => {
    const id = newId('batch')
    await seed.sql('INSERT INTO batches (id, project_id, total) VALUES ($1, $2, 1)', [id, seed.projectId])
    await cancelGeneration(seed.database, await seed.queued({ batchId: id }), 0)
    await round()
    expect((await readBatch(seed.database, id)).completedAt).toBeInstanceOf(Date)
  })

  it('while nothing was lost enqueues no row a second time', async () => {
    await round()
    const admitted = await seed.admitted()
    await inBackOff('generations', [admitted])
    await round()
    expect(await enqueued('submit')).toEqual([])
  })

  it('after jobs were dropped enqueues their rows again', async () => {
    await round()
    const admitted = await seed.admitted()
    await inBackOff('generations', [admitted])
    // BullMQ refuses ids with colons.
    app.queues.enqueue('submit', [{ id: 'a:b', dispatchCount: 0 }])
    await until('it is dropped', async () => (await app.logLines()).some((line) => line.event === 'queue.dropped'))
    // A round without Postgres recovers nothing and does not forget the dropped job.
    const gone = await seedDatabase()
    await gone.close()
    await round(gone.database)
    await round()
    expect(await enqueued('submit')).toEqual([admitted])
  })

  it('that dies before the rows are due again creates no poller, so that the next round still sees the wipe', async () => {
    const admitted = await seed.admitted()
    await inBackOff('generations', [admitted])
    const gone = await seedDatabase()
    await gone.close()
    await round(gone.database)
    expect(await pollers()).toBe(0)
    await round()
    expect([await pollers(), await enqueued('submit')]).toEqual([POLLERS, [admitted]])
  })

  it('makes resting pollers busy when a poll is due soon, and changes nothing otherwise', async () => {
    const { poll } = app.queues.queues
    await round()
    await ensurePollers(poll, (await readPollers(poll)).busy, 'resting')
    await round()
    expect(await readPollers(poll)).toMatchObject({ busy: [], lost: [] })
    await seed.processing()
    await round()
    expect(await readPollers(poll)).toMatchObject({ resting: [], lost: [] })
  })

  it('is not needed for pollers of which some rest and some were made busy by workers that start at once', async () => {
    const { poll } = app.queues.queues
    await round()
    const [deciding = '', ...others] = (await readPollers(poll)).busy
    await ensurePollers(poll, [deciding], 'resting')
    for (const poller of others) await adjustPollers(stepDeps(app), poller, false)
    expect(await readPollers(poll)).toMatchObject({ busy: others, resting: [deciding] })
    await adjustPollers(stepDeps(app), `${deciding}.resting`, false)
    expect(await readPollers(poll)).toMatchObject({ busy: [], lost: [] })
  })

  it('adds nothing to a queue in which enough waits already, and leaves its rows due for when there is room', async () => {
    await round()
    const { submit } = app.queues.queues
    await submit.addBulk(Array.from({ length: 2_000 }, (_, n) => ({ name: 'submit', data: { id: `other_${n}` } })))
    const admitted = await seed.admitted()
    await seed.sql(`UPDATE generations SET due_at = now() WHERE id = $1`, [admitted])
    const before = await seed.row(admitted)
    const answered = await seed.processing()
    await seed.sql(`UPDATE generations SET answer = '{}', due_at = now() WHERE id = $1`, [answered])
    await round()
    // The other queue still gets its jobs.
    expect(await enqueued('complete')).toEqual([answered])
    await submit.pause()
    await round()
    expect(await app.queues.backlog('submit')).toBe(2_000)
    expect(await seed.row(admitted)).toEqual(before)

    await submit.resume()
    await submit.drain()
    await round()
    expect(await enqueued('submit')).toEqual([admitted])
  })
})
