// Automatic recovery: jobs lost at any moment, a Redis that starts late, a provider that never finishes.

import { afterEach, describe, expect, it } from 'vitest'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { emptyPostgresQueues } from './support/queues.ts'
import { until } from './support/wait.ts'

let pipeline: Pipeline | undefined
afterEach(async () => {
  await pipeline?.close()
  pipeline = undefined
})

const COUNT = 30
const SLOTS = 15

/** Deletes every job and every poller, like a restarted Redis without persistence. */
async function loseJobs({ api, redis }: Pipeline): Promise<void> {
  if (redis) await redis.restart({ wipe: true })
  else await emptyPostgresQueues(api.context.config.DATABASE_URL ?? '')
}

describe.each(BACKENDS)('on %s', (backend) => {
  it('completes everything and pays nothing twice when all jobs are lost, before and while generations render', async () => {
    pipeline = await startPipeline({
      backend,
      workers: 0,
      // The provider's time limit is longer than a pause of a busy machine.
      env: { RECONCILE_INTERVAL_MS: '500', UPSTREAM_MAX_IN_FLIGHT: String(SLOTS), UPSTREAM_TIMEOUT_MS: '20000' },
    })
    const { post, ended, totalSubmissions, receipts, api } = pipeline
    const webhook_url = pipeline.hook('/hook')
    const ids = await Promise.all(Array.from({ length: COUNT }, () => post('[sim:render=1500]', { webhook_url })))
    const rowsOfJobs = async () =>
      (await api.queues.queues.submit.getWaiting()).reduce((sum, { data }) => sum + 1 + (data.also?.length ?? 0), 0)
    await until('jobs for all slots', async () => (await rowsOfJobs()) === SLOTS)
    await loseJobs(pipeline)

    await Promise.all([pipeline.startWorker(), pipeline.startWorker()])
    const { generation } = api.database.prisma
    await until(
      'some render and some wait',
      async () => {
        const rendering = await generation.count({ where: { status: 'processing' } })
        return rendering >= 5 && (await generation.count({ where: { status: 'queued' } })) > 0
      },
      { timeoutMs: 30_000 },
    )
    await loseJobs(pipeline)

    for (const id of ids) {
      const { status, error } = await ended(id)
      expect(status, error?.message).toBe('completed')
    }
    expect(await totalSubmissions()).toBe(COUNT)
    await until('every webhook', () => receipts().length >= COUNT, { timeoutMs: 30_000 })
    expect(new Set(receipts().map((receipt) => receipt.webhookId)).size).toBe(COUNT)
    expect(new Set(receipts().map((receipt) => receipt.data.id))).toEqual(new Set(ids))
  })
})

describe('a worker that is started before its Redis', () => {
  it('lets the API accept meanwhile, and does the work once Redis is there', async () => {
    pipeline = await startPipeline({
      backend: 'redis',
      redisLater: true,
      env: { RECONCILE_INTERVAL_MS: '500' },
    })
    const { post, ended, get, redis, totalSubmissions, workers } = pipeline
    const ids = await Promise.all([post(''), post(''), post('')])
    await until(
      'the worker has noticed',
      async () => {
        const lines = (await Promise.all(workers.map((worker) => worker.logLines()))).flat()
        return lines.some((line) => line.event === 'queue.dropped' || line.event === 'reconcile.failed')
      },
      { timeoutMs: 30_000 },
    )
    expect((await get(ids[0])).status).toBe('queued')
    await redis?.restart()
    for (const id of ids) expect(await ended(id)).toMatchObject({ status: 'completed' })
    expect(await totalSubmissions()).toBe(ids.length)
  })
})

describe('a provider that never ends', () => {
  it('fails the generation at its deadline, with a code that says what was missing', async () => {
    pipeline = await startPipeline({ backend: 'postgres', workers: 1, env: { GENERATION_DEADLINE_MS: '1500' } })
    const { post, ended, submissions } = pipeline
    const [stuck, withoutUrl, silent] = await Promise.all([
      post('[sim:stuck]'),
      post('[sim:nourl][sim:render=100]'),
      post('[sim:poll500][sim:render=100]'),
    ])
    expect((await ended(stuck)).error?.code).toBe('deadline_exceeded')
    expect((await ended(withoutUrl)).error?.code).toBe('completed_without_url')
    expect((await ended(silent)).error?.code).toBe('deadline_exceeded')
    for (const id of [stuck, withoutUrl, silent]) expect(await submissions(id)).toBe(1)
  })
})
