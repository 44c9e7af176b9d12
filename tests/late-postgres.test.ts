// Queues on Postgres in a process that starts during a Postgres outage: without care, BullMQ keeps the failed first
// query and the failed LISTEN connection for ever.

import { openQueueBackend } from '@reelqueue/shared/queues/backend'
import { expect, it } from 'vitest'
import { createDatabase } from './support/database.ts'
import { startRelay } from './support/relay.ts'
import { until } from './support/wait.ts'

it('adds and takes jobs once Postgres is back, though the first look of each failed, and again when its connections die without a word', {
  timeout: 150_000,
}, async () => {
  const database = await createDatabase()
  const url = new URL(database.url)
  const relay = await startRelay({ host: url.hostname, port: Number(url.port) })
  url.hostname = '127.0.0.1'
  url.port = String(relay.port)
  await relay.cut()

  const ignore = () => undefined
  const backend = openQueueBackend({ databaseUrl: url.href, redisUrl: undefined, onError: ignore })
  const queue = backend.createQueue('submit', {})
  queue.on('error', ignore)
  const seen: string[] = []
  const take = async (job: { data: { id: string } }) => {
    seen.push(job.data.id)
  }
  const worker = backend.createWorker('submit', take, { concurrency: 1 })
  worker.on('error', ignore)
  await expect(queue.add('submit', { id: 'gen_1' })).rejects.toThrow()
  await expect(worker.waitUntilReady()).rejects.toThrow()

  await relay.mend()
  await until('a job is added', async () => (await queue.add('submit', { id: 'gen_2' })).id !== undefined)
  await until('a job is run', () => seen.length > 0, { timeoutMs: 30_000 })
  expect(seen[0]).toBe('gen_2')

  // The outcome of the job is recorded before the relay swallows answers.
  await until('the worker rests', async () => (await queue.getActiveCount()) === 0)

  // Like a vanished machine or a NAT that drops state: open connections get no reset.
  // The connection that answers this query is used for the next query, which gets no answer.
  await queue.getWaitingCount()
  relay.swallow()
  await expect(queue.getWaitingCount()).rejects.toThrow('Query read timeout')
  relay.serve()
  await until('a job is added again', async () => (await queue.add('submit', { id: 'gen_3' })).id !== undefined)
  await until('a job is run again', () => seen.includes('gen_3'), { timeoutMs: 60_000 })

  await worker.close()
  await queue.close()
  await backend.close()
  await relay.cut()
  await database.drop()
})

it('takes jobs once Postgres is back, though it went in the very moment in which the worker began to listen', {
  timeout: 100_000,
}, async () => {
  const database = await createDatabase()
  const url = new URL(database.url)
  const relay = await startRelay({ host: url.hostname, port: Number(url.port) })
  url.host = `127.0.0.1:${relay.port}`

  const ignore = () => undefined
  const backend = openQueueBackend({ databaseUrl: url.href, redisUrl: undefined, onError: ignore })
  const queue = backend.createQueue('submit', {})
  queue.on('error', ignore)
  const seen: string[] = []
  const take = async (job: { data: { id: string } }) => {
    seen.push(job.data.id)
  }
  const swallowed = relay.swallowAt('LISTEN')
  const worker = backend.createWorker('submit', take, { concurrency: 1 })
  worker.on('error', ignore)
  await swallowed
  relay.serve()
  await until('a job is added', async () => (await queue.add('submit', { id: 'gen_1' })).id !== undefined)
  await until('a job is run', () => seen.includes('gen_1'), { timeoutMs: 60_000 })

  await worker.close()
  await queue.close()
  await backend.close()
  await relay.cut()
  await database.drop()
})
