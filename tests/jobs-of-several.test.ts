// Jobs with several rows: at most five, each with a separate outcome.

import { consume, type StepOutcome } from '@reelqueue/shared/queues/consumer'
import { afterEach, expect, it } from 'vitest'
import { BACKENDS } from './support/pipeline.ts'
import { type QueueServer, startQueueServer } from './support/queues.ts'
import { until } from './support/wait.ts'

let server: QueueServer | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

it.each(BACKENDS)('on %s one row fails, one is put off, and the others are done all the same', async (backend) => {
  server = await startQueueServer(backend)
  const { backend: queueBackend, queues } = server.open()
  queues.enqueue(
    'submit',
    Array.from({ length: 7 }, (_, n) => ({ id: `gen_${n}`, dispatchCount: 0 })),
  )
  await until('both jobs are added', async () => (await queues.queues.submit.getWaitingCount()) === 2)

  const rowsOf = (await queues.queues.submit.getWaiting()).map(({ data }) => 1 + (data.also?.length ?? 0))
  expect(rowsOf.toSorted()).toEqual([2, 5])

  const ran: string[] = []
  const later: string[] = []
  const consumer = consume({
    backend: queueBackend,
    queue: 'submit',
    concurrency: 1,
    run: async (id): Promise<StepOutcome> => {
      ran.push(id)
      if (id === 'gen_1') throw new Error('only this one')
      return id === 'gen_2' ? { kind: 'later', delayMs: 5 } : { kind: 'done' }
    },
    later: (id, delayMs) => later.push(`${id} ${delayMs}`),
    onError: () => undefined,
  })
  await until('all have run', () => ran.length === 7)
  await until('the first job has failed', async () => (await queues.queues.submit.getFailedCount()) === 1)
  await consumer.close()
  expect(ran.toSorted()).toEqual(Array.from({ length: 7 }, (_, n) => `gen_${n}`))
  expect(later).toEqual(['gen_2 5'])
  const [failed] = await queues.queues.submit.getFailed()
  expect(failed?.failedReason).toBe('only this one')
})
