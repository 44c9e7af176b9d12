// BullMQ fetches a job at the moment when the worker is told to stop. A lock on the queue's table makes the moment
// last.

import { consume } from '@reelqueue/shared/queues/consumer'
import pg from 'pg'
import { expect, it } from 'vitest'
import { runSql } from './support/database.ts'
import { startQueueServer } from './support/queues.ts'
import { until } from './support/wait.ts'

it('is not begun any more: it waits for another worker', async () => {
  const server = await startQueueServer('postgres')
  const { backend, queues } = server.open()
  queues.enqueue('submit', [{ id: 'gen_1', dispatchCount: 0 }])
  await until('it is added', async () => (await queues.backlog('submit')) === 1)
  const holder = new pg.Client({ connectionString: server.url })
  await holder.connect()
  await holder.query('BEGIN')
  await holder.query('LOCK TABLE bullmq.job IN ACCESS EXCLUSIVE MODE')

  const begun: string[] = []
  const run = async (id: string) => {
    begun.push(id)
    return { kind: 'done' } as const
  }
  const consumer = consume({
    backend,
    queue: 'submit',
    concurrency: 1,
    run,
    later: () => undefined,
    onError: () => undefined,
  })
  await until('the worker fetches', async () => {
    const fetching = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query ILIKE '%move_to_active%'`
    return (await runSql(server.url, fetching)).length > 0
  })
  const closed = consumer.close()
  await holder.query('COMMIT')
  await holder.end()
  await closed
  expect(begun).toEqual([])
  expect((await queues.queues.submit.getWaiting()).map((job) => job.data.id)).toEqual(['gen_1'])
  await server.close()
})
