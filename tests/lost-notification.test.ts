// A worker on the Postgres backend without notifications: BullMQ can lose the LISTEN when connections break, and would
// then sleep until the next known delayed job, for up to an hour.

import { openQueueBackend } from '@reelqueue/shared/queues/backend'
import { consume } from '@reelqueue/shared/queues/consumer'
import { expect, it } from 'vitest'
import { createDatabase, runSql } from './support/database.ts'
import { until } from './support/wait.ts'

const HOUR_MS = 3_600_000

it('finds a job without a notification within seconds', async () => {
  const database = await createDatabase()
  const noError = (error: Error) => {
    throw error
  }
  const backend = openQueueBackend({ databaseUrl: database.url, redisUrl: undefined, onError: noError })
  const queue = backend.createQueue('submit', {})
  await queue.add('submit', { id: 'gen_1' }, { jobId: 'quiet', delay: HOUR_MS })
  const seen: string[] = []
  const run = async (id: string) => {
    seen.push(id)
    return { kind: 'done' } as const
  }
  const consumer = consume({ backend, queue: 'submit', concurrency: 1, run, later: () => undefined, onError: noError })

  // The last query before the sleep: afterwards only a notification or the worker's own time limit ends the sleep.
  await until('the worker sleeps', async () => {
    const looks = await runSql(
      database.url,
      `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle' AND query ILIKE '%waiting%present%'`,
    )
    return looks.length > 0
  })
  // Written directly into the table, so no notification is sent.
  await runSql(database.url, `UPDATE bullmq.job SET state = 'waiting', delay_ms = 0 WHERE id = 'quiet'`)
  await until('the job is run', () => seen.length > 0, { timeoutMs: 20_000 })
  expect(seen).toEqual(['gen_1'])

  await consumer.close()
  await queue.close()
  await backend.close()
  await database.drop()
})
