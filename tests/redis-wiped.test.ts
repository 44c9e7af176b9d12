// The queues lose everything at once: FLUSHALL, or the same on BullMQ's tables. A single round of reconcile recovers
// all work, including rows enqueued shortly before, with a back-off of up to two minutes.

import { afterEach, describe, expect, it } from 'vitest'
import { runSql } from './support/database.ts'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { emptyPostgresQueues } from './support/queues.ts'
import { until } from './support/wait.ts'

let pipeline: Pipeline | undefined
afterEach(async () => {
  await pipeline?.close()
  pipeline = undefined
})

async function wipe({ api, redis }: Pipeline): Promise<void> {
  if (redis) expect(await redis.run('FLUSHALL')).toContain('OK')
  else await emptyPostgresQueues(api.context.config.DATABASE_URL ?? '')
}

const RENDERING = { redis: 1_000, postgres: 200 } as const
const WAITING = 30
/** For each state: admitted and not submitted, answered and not completed, completed and not delivered. */
const STUCK = 20
/** The back-off after several rounds of reconcile: longer than this test runs. */
const LONG_BACK_OFFS = [
  `UPDATE generations SET wakes = wakes + 9, due_at = now() + interval '119 s' WHERE admitted_at IS NOT NULL AND status = 'queued' OR answer IS NOT NULL`,
  `UPDATE deliveries SET wakes = wakes + 9, due_at = now() + interval '119 s' WHERE state = 'pending'`,
]

describe.each(BACKENDS)('on %s', (backend) => {
  const rendering = RENDERING[backend]
  it(`brings back ${rendering} renders and what was queued, answered or undelivered, and pays nothing twice`, async () => {
    pipeline = await startPipeline({
      backend,
      // Nothing finishes before the test says so, except prompts with a render tag.
      speed: 0.01,
      env: {
        RECONCILE_INTERVAL_MS: '500',
        UPSTREAM_MAX_IN_FLIGHT: String(rendering + 2 * STUCK),
        UPSTREAM_TIMEOUT_MS: '30000',
        POLL_INTERVAL_MIN_MS: '5000',
        POLL_INTERVAL_MAX_MS: '10000',
      },
    })
    const { api, hook, post, postBatch, ended, receipts, simulator, totalSubmissions } = pipeline
    const { generation, delivery } = api.database.prisma
    const { queues } = api.queues
    const url = api.context.config.DATABASE_URL ?? ''
    const many = (count: number, tags: string) =>
      Array.from({ length: count }, () => post(tags, { webhook_url: hook('/hook') }))

    await queues.deliver.pause()
    const undelivered = await Promise.all(many(STUCK, '[sim:render=1]'))
    for (const id of undelivered) await ended(id)
    await queues.complete.pause()
    // Completed answers need no step, so these generations fail.
    const answered = await Promise.all(many(STUCK, '[sim:render=1][sim:fail]'))
    const hasAnswer = 'SELECT 1 FROM generations WHERE answer IS NOT NULL'
    await until('all are answered', async () => (await runSql(url, hasAnswer)).length === STUCK)
    const batch = await postBatch(Array.from({ length: rendering }, () => ({ model: 'openAiSora2Plus', prompt: '' })))
    const inBatch = () => generation.count({ where: { batchId: batch, status: 'processing' } })
    await until('all slots render', async () => (await inBatch()) === rendering, { timeoutMs: 240_000 })
    await queues.submit.pause()
    const queued = await Promise.all(many(STUCK + WAITING, ''))
    const admitted = { id: { in: queued }, admittedAt: { not: null } }
    await until('slots are taken', async () => (await generation.count({ where: admitted })) > 0)

    for (const sql of LONG_BACK_OFFS) await runSql(url, sql)
    await wipe(pipeline)
    await simulator.inject({ method: 'POST', url: '/control/speed', payload: { speed: 1e9 } })
    for (const id of queued) expect(await ended(id)).toMatchObject({ status: 'completed' })
    for (const id of answered) expect(await ended(id)).toMatchObject({ status: 'failed' })
    await until('the batch has ended', async () => (await inBatch()) === 0, { timeoutMs: 50_000 })
    const all = rendering + WAITING + 3 * STUCK
    expect(await generation.count({ where: { status: 'completed' } })).toBe(all - STUCK)
    expect(await totalSubmissions()).toBe(all)
    await until('every webhook', async () => (await delivery.count({ where: { state: 'pending' } })) === 0)
    expect(new Set(receipts().map((receipt) => receipt.data.id))).toEqual(
      new Set([...undelivered, ...answered, ...queued]),
    )
  }, 480_000)
})
