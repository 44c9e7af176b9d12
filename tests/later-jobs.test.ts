// Jobs to run again later, with two workers on the queue. BullMQ's delayed jobs are not used: on the Postgres backend
// (taskforcesh/bullmq#4814 is open) workers that promoted delayed jobs at once ran into deadlocks in this test.

import { consume, type StepOutcome } from '@reelqueue/shared/queues/consumer'
import { afterEach, describe, expect, it } from 'vitest'
import { BACKENDS } from './support/pipeline.ts'
import { type QueueServer, startQueueServer } from './support/queues.ts'
import { until } from './support/wait.ts'

let server: QueueServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

const JOBS = 60
const RUNS = 4
const CONCURRENCY = 10

interface Progress {
  runs: number
  underWay: boolean
  dueAt: number
}

describe.each(BACKENDS)('on %s, with two workers', (backend) => {
  it('runs every job again when it is due, loses none, and runs none twice at once', async () => {
    server = await startQueueServer(backend)
    const opened = server.open
    const seen = new Map<string, Progress>()
    const wrong: string[] = []
    const workers = new Set<string>()

    const runOn =
      (worker: string) =>
      async (id: string): Promise<StepOutcome> => {
        const job = seen.get(id) ?? { runs: 0, underWay: false, dueAt: 0 }
        seen.set(id, job)
        workers.add(worker)
        if (job.underWay) wrong.push(`${id} runs twice at once`)
        if (performance.now() < job.dueAt) wrong.push(`${id} runs ${job.dueAt - performance.now()} ms before it is due`)
        if (job.runs >= RUNS) wrong.push(`${id} runs again although it is done`)
        job.underWay = true
        job.runs += 1
        await new Promise(setImmediate)
        job.underWay = false
        const delayMs = job.runs % 2 === 0 ? 0 : 300
        job.dueAt = performance.now() + delayMs
        return job.runs < RUNS ? { kind: 'later', delayMs } : { kind: 'done' }
      }
    const onError = (error: Error) => wrong.push(String(error))
    const consumers = ['first', 'second'].map((worker) => {
      const { backend, queues } = opened()
      const later = (id: string, delayMs: number) => queues.enqueueLater('submit', id, delayMs)
      return consume({ backend, queue: 'submit', concurrency: CONCURRENCY, run: runOn(worker), later, onError })
    })
    const { queues } = opened()
    queues.enqueue(
      'submit',
      Array.from({ length: JOBS }, (_, n) => ({ id: `gen_${n}`, dispatchCount: 0 })),
    )

    const done = async () => [...seen.values()].filter((job) => job.runs === RUNS).length === JOBS
    await until('every job has run to its end', done, { timeoutMs: 30_000 })
    await until('the queue is empty', async () => {
      const { waiting, active, delayed, failed } = await queues.queues.submit.getJobCounts()
      return [waiting, active, delayed, failed].every((count) => count === 0)
    })
    await Promise.all(consumers.map((consumer) => consumer.close()))
    expect(wrong).toEqual([])
    expect(workers.size).toBe(2)
  })
})

it('a process that stops drops its delayed jobs: reconcile finds the rows when they are due', async () => {
  server = await startQueueServer('postgres')
  const [stopped, other] = [server.open().queues, server.open().queues]
  stopped.enqueueLater('submit', 'gen_1', 1)
  await stopped.close()
  other.enqueueLater('submit', 'gen_2', 200)
  // The latest call for a row wins.
  other.enqueueLater('submit', 'gen_2', 20)
  other.enqueueLater('submit', 'gen_3', 250)
  // Enqueued now, and again later.
  other.enqueueLater('submit', 'gen_4', 100)
  other.enqueueAgain('submit', 'gen_4')
  const ids = async () => (await other.queues.submit.getWaiting()).map((job) => job.data.id)
  await until('the last is woken', async () => (await ids()).includes('gen_3'))
  expect((await ids()).sort()).toEqual(['gen_2', 'gen_3', 'gen_4', 'gen_4'])
})
