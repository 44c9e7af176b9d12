// The pollers as BullMQ stores them: few, constant, unaffected by failed runs, and created again when the scheduler
// chain breaks.

import { consume } from '@reelqueue/shared/queues/consumer'
import { ensurePollers, POLLERS, readPollers } from '@reelqueue/shared/queues/pollers'
import type { QueueBackend } from '@reelqueue/shared/queues/queue-backend'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { runSql } from './support/database.ts'
import { BACKENDS } from './support/pipeline.ts'
import { type QueueServer, startQueueServer } from './support/queues.ts'
import { until } from './support/wait.ts'

const IDS = Array.from({ length: POLLERS }, (_, index) => `lane-${index}`)
const POLL_KEY = '{reelqueue}:poll'

/** Runs pollers, and counts the runs of each. */
function consumeRuns(backend: QueueBackend, runs: Map<string, number>, act: (id: string) => void = () => undefined) {
  const run = async (id: string) => {
    runs.set(id, (runs.get(id) ?? 0) + 1)
    act(id)
    return { kind: 'done' } as const
  }
  const watch = { later: () => undefined, onError: () => undefined }
  return consume({ backend, queue: 'poll', concurrency: 2, run, ...watch })
}

describe.each(BACKENDS)('on %s, the pollers', (backend) => {
  let server: QueueServer
  beforeEach(async () => {
    server = await startQueueServer(backend)
  })
  afterEach(() => server.close())

  it('stay as many when several workers create them at once', async () => {
    const opened = [1, 2, 3, 4].map(() => server.open())
    const polls = opened.map(({ queues }) => queues.queues.poll)
    await Promise.all(polls.map(async (poll) => ensurePollers(poll, (await readPollers(poll)).lost, 'busy')))
    for (const poll of polls) {
      expect((await readPollers(poll)).lost).toEqual([])
      expect(await poll.getJobSchedulersCount()).toBe(POLLERS)
    }
    // Two that lay a lane in the same moment may leave a run too many, which must end without a next one.
    const [{ backend }] = opened as [(typeof opened)[0]]
    const runs = new Map<string, number>()
    const consumer = consumeRuns(backend, runs)
    await until('every lane has run several times', () => IDS.every((id) => (runs.get(id) ?? 0) >= 3))
    await consumer.close()
    for (const poll of polls) expect(await poll.getDelayedCount()).toBeLessThanOrEqual(POLLERS)
  })

  it('are created with the deciding poller last, so that its first run sees the state of all pollers', async () => {
    const { poll } = server.open().queues.queues
    const laid: string[] = []
    const upsert = poll.upsertJobScheduler.bind(poll)
    vi.spyOn(poll, 'upsertJobScheduler').mockImplementation(async (...args) => {
      const job = await upsert(...args)
      laid.push(args[0])
      return job
    })
    for (const state of ['busy', 'resting'] as const) {
      laid.length = 0
      await ensurePollers(poll, IDS, state)
      expect([laid.length, laid.at(-1)]).toEqual([POLLERS, 'lane-0'])
    }
  })

  it('try each run once and keep nothing of it, whether it succeeds or fails', async () => {
    const { queues, backend } = server.open()
    const { poll } = queues.queues
    await ensurePollers(poll, IDS, 'busy')
    const once = { attempts: 1, removeOnComplete: true, removeOnFail: true }
    expect((await poll.getJobScheduler('lane-0'))?.template?.opts).toMatchObject(once)
    for (const job of await poll.getJobs(['delayed', 'waiting'])) expect(job.opts).toMatchObject(once)

    const runs = new Map<string, number>()
    const consumer = consumeRuns(backend, runs, (id) => {
      if (id === 'lane-0') throw new Error('a run that fails')
    })
    await until('every lane has run several times', () => IDS.every((id) => (runs.get(id) ?? 0) >= 3), {
      timeoutMs: 20_000,
    })
    await consumer.close()
    expect(await poll.getJobCountByTypes('completed', 'failed')).toBe(0)
    expect(await poll.getJobSchedulersCount()).toBe(POLLERS)
  })

  it('are created again when their schedule broke, and run on', async () => {
    const { queues, backend } = server.open()
    const { poll } = queues.queues
    await ensurePollers(poll, IDS, 'busy')
    await breakSchedule(server, 'lane-0')
    expect((await readPollers(poll)).lost).toEqual(['lane-0'])
    await ensurePollers(poll, ['lane-0'], 'busy')
    expect((await readPollers(poll)).lost).toEqual([])
    const runs = new Map<string, number>()
    const consumer = consumeRuns(backend, runs)
    await until('every lane runs', () => IDS.every((id) => runs.has(id)))
    await consumer.close()
  })
})

/**
 * The state after a crash between two BullMQ commands: a scheduler whose next run was due long ago and does not exist.
 */
async function breakSchedule({ redis, url }: QueueServer, id: string): Promise<void> {
  const longAgo = Date.now() - 60_000
  if (redis) {
    const [job = ''] = /repeat:lane-0:\d+/.exec(await redis.run(`KEYS ${POLL_KEY}:repeat:${id}:*`)) ?? []
    expect(job).not.toBe('')
    await redis.run(`ZREM ${POLL_KEY}:delayed ${job}`)
    await redis.run(`LREM ${POLL_KEY}:wait 0 ${job}`)
    await redis.run(`DEL ${POLL_KEY}:${job}`)
    await redis.run(`ZADD ${POLL_KEY}:repeat ${longAgo} ${id}`)
  } else {
    await runSql(url, `DELETE FROM bullmq.job WHERE queue = 'poll' AND id LIKE '%${id}%'`)
    await runSql(url, `UPDATE bullmq.scheduler SET next_run_ms = ${longAgo} WHERE scheduler_id = '${id}'`)
  }
}
