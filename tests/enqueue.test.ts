// Enqueueing: callers do not wait, rows travel together, number and time are bounded, dropped rows are reported, and
// enqueueing the same row twice makes a single job.

import type { RowToEnqueue } from '@reelqueue/shared/domain/row-to-enqueue'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { runSql } from './support/database.ts'
import { BACKENDS } from './support/pipeline.ts'
import { type QueueServer, startQueueServer } from './support/queues.ts'
import { startRelay } from './support/relay.ts'
import { until } from './support/wait.ts'

let server: QueueServer | undefined
const cleanups: (() => Promise<void>)[] = []
afterEach(async () => {
  await server?.close()
  for (const cleanup of cleanups.splice(0)) await cleanup()
  server = undefined
})

const rowsToEnqueue = (count: number, from = 0): RowToEnqueue[] =>
  Array.from({ length: count }, (_, n) => ({ id: `gen_${from + n}`, dispatchCount: 0 }))

describe.each(BACKENDS)('on %s, jobs', (backend) => {
  it('of one turn travel together, a thousand in one round trip', async () => {
    server = await startQueueServer(backend)
    const { queues } = server.open()
    const added = vi.spyOn(queues.queues.submit, 'addBulk')
    for (let n = 0; n < 2_500; n++) queues.enqueue('submit', rowsToEnqueue(1, n))
    await until('all are added', async () => (await queues.queues.submit.getWaitingCount()) === 2_500)
    expect(added.mock.calls.map(([jobs]) => jobs.length)).toEqual([1_000, 1_000, 500])
  })

  it('made twice are one job, and the next one of the same row is another', async () => {
    server = await startQueueServer(backend)
    const [first, second] = [server.open().queues, server.open().queues]
    for (const queues of [first, second, first]) queues.enqueue('submit', [{ id: 'gen_1', dispatchCount: 3 }])
    first.enqueue('submit', [{ id: 'gen_1', dispatchCount: 4 }])
    await until('the last is added', async () => (await first.queues.submit.getWaitingCount()) >= 2)
    second.enqueue('submit', [{ id: 'gen_2', dispatchCount: 0 }])
    await until('the very last is added', async () => (await first.queues.submit.getJob('gen_2.0')) !== undefined)
    const ids = (await first.queues.submit.getWaiting()).map((job) => job.id)
    expect(ids.sort()).toEqual(['gen_1.3', 'gen_1.4', 'gen_2.0'])
  })

  it('for a look at the same batch are one job while it waits', async () => {
    server = await startQueueServer(backend)
    const { queues } = server.open()
    for (let n = 0; n < 50; n++) queues.enqueueBatches(['batch_1', 'batch_1'])
    queues.enqueueBatches(['batch_2'])
    await until('the last is added', async () => (await queues.queues.maintain.getWaitingCount()) >= 2)
    expect(await queues.queues.maintain.getWaitingCount()).toBe(2)
  })
})

describe('while Redis hangs, jobs', () => {
  it('are bounded in number and time, reported when they are dropped, and hold up neither a caller nor a stop', async () => {
    server = await startQueueServer('redis')
    const relay = await startRelay({ host: '127.0.0.1', port: Number(new URL(server.redis?.url ?? '').port) })
    cleanups.push(() => relay.cut())
    const { queues, dropped } = server.open(`redis://127.0.0.1:${relay.port}`)
    await until('Redis answers', async () => (await queues.backlog('submit')) === 0)
    relay.swallow()

    const count = () => dropped.reduce((sum, one) => sum + one.count, 0)
    queues.enqueue('submit', rowsToEnqueue(19_000))
    queues.enqueue('submit', rowsToEnqueue(6_000, 19_000))
    // Rows beyond the bound are dropped at once. No other drop has happened yet, so no caller has waited.
    expect(dropped).toMatchObject([{ queue: 'submit', count: 5_000 }])
    await expect(queues.backlog('submit')).rejects.toThrow()
    await until('all the others are dropped', () => count() === 25_000)
    expect(dropped.every((one) => one.queue === 'submit')).toBe(true)
    expect(queues.takeDropped()).toBe(true)
    expect(queues.takeDropped()).toBe(false)
    queues.returnDropped()
    expect(queues.takeDropped()).toBe(true)

    relay.serve()
    await until('Redis answers again', async () => (await queues.backlog('submit')) >= 0)
    queues.enqueue('submit', [{ id: 'gen_new', dispatchCount: 0 }])
    await until('a wake-up arrives again', async () => (await queues.queues.submit.getJob('gen_new.0')) !== undefined)
  })
})

it('adding jobs is bounded in time also when Redis has never answered', async () => {
  server = await startQueueServer('redis')
  const relay = await startRelay({ host: '127.0.0.1', port: Number(new URL(server.redis?.url ?? '').port) })
  cleanups.push(() => relay.cut())
  relay.swallow()
  const { queues, dropped } = server.open(`redis://127.0.0.1:${relay.port}`)
  queues.enqueue('submit', rowsToEnqueue(10))
  await until('they are dropped', () => dropped.length > 0)
  expect(dropped).toMatchObject([{ queue: 'submit', count: 10 }])
})

describe('on postgres', () => {
  it('all queues and workers of a process share one pool of connections', async () => {
    server = await startQueueServer('postgres')
    const { queues, backend } = server.open()
    const workers = Object.keys(queues.queues).map((name) =>
      backend.createWorker(name, async () => undefined, { concurrency: 10 }),
    )
    for (const worker of workers) worker.on('error', () => undefined)
    let added = false
    const adding = Promise.all(
      Object.values(queues.queues).flatMap((queue) =>
        Array.from({ length: 40 }, (_, n) => queue.add('any', { id: `gen_${n}` })),
      ),
    ).then(() => {
      added = true
    })
    let most = 0
    // Postgres lists a session a moment longer than the session lasts.
    const connections = `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND application_name <> 'test'`
    const isDone = async () => {
      const [row] = await runSql<{ count: number }>(server?.url ?? '', connections)
      most = Math.max(most, row?.count ?? 0)
      const open = await Promise.all(
        Object.values(queues.queues).map((queue) => queue.getJobCountByTypes('waiting', 'active')),
      )
      return added && open.every((count) => count === 0)
    }
    await until('all jobs are done', isDone, { timeoutMs: 20_000 })
    await adding
    await Promise.all(workers.map((worker) => worker.close()))
    // The connection limit of the pool: by default each queue and worker would open ten, and one to listen.
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(24)
  })
})
