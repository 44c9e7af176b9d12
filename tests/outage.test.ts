// Outages of servers: Postgres restarted under load, and a stop while Redis is down.

import { expect, it } from 'vitest'
import { send } from './support/api.ts'
import { createDatabase, openClient, runSql } from './support/database.ts'
import { startRedis } from './support/redis.ts'
import { type Relay, startRelay } from './support/relay.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const BURSTS = 12
const REQUESTS = 40

it('lives through lost connections, answers 202 or 503, and goes on consuming its queues', async () => {
  const database = await createDatabase()
  const app = await startTestApp({ databaseUrl: database.url, api: true, worker: true })
  try {
    const headers = { authorization: `Bearer ${app.key}` }
    const body = { model: 'openAiSora2Plus', prompt: 'x' }
    const accepted = new Set<string>()
    for (let burst = 0; burst < BURSTS; burst++) {
      const asking = Promise.all(
        Array.from({ length: REQUESTS }, () => send('POST', `${app.url}/v1/generations`, body, headers)),
      )
      // Ends every session like a restart, without affecting other tests.
      await runSql(
        database.url,
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`,
      )
      for (const reply of await asking) {
        expect([202, 503], reply.text).toContain(reply.status)
        if (reply.status === 202) accepted.add((JSON.parse(reply.text) as { id: string }).id)
      }
    }
    const stored = await runSql<{ id: string }>(database.url, 'SELECT id FROM generations')
    const ids = new Set(stored.map((row) => row.id))
    expect([...accepted].filter((id) => !ids.has(id))).toEqual([])

    for (const name of ['complete', 'deliver', 'maintain'] as const) {
      const queue = app.queues.queues[name]
      await until(
        `${name} takes a job again`,
        async () => {
          const job = await queue.add(name, { id: `none_${Math.random()}` })
          // On Postgres a job that succeeded is not kept.
          await until('it is done', async () => (await queue.getJobState(job.id ?? '')) === 'unknown', {
            timeoutMs: 8_000,
          })
          return true
        },
        { timeoutMs: 30_000 },
      )
    }
  } finally {
    await app.close()
    await database.drop()
  }
})

it.each([
  ['cut', async (relay: Relay) => await relay.cut()],
  ['reset', async (relay: Relay) => relay.reset()],
])('answers 503 when its connection to Postgres is %s in the middle of a statement', async (_, harm) => {
  const database = await createDatabase()
  const url = new URL(database.url)
  const relay = await startRelay({ host: url.hostname, port: Number(url.port) })
  url.host = `127.0.0.1:${relay.port}`
  const app = await startTestApp({ databaseUrl: url.href, api: true })
  const holder = await openClient(database.url)
  try {
    await holder.query('BEGIN; LOCK TABLE generations IN EXCLUSIVE MODE')
    const headers = { authorization: `Bearer ${app.key}` }
    const asking = send('POST', `${app.url}/v1/generations`, { model: 'openAiSora2Plus', prompt: 'x' }, headers)
    const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`
    await until('its statement waits', async () => (await runSql(database.url, waiting)).length > 0)
    await harm(relay)
    const reply = await asking
    expect(reply.status, reply.text).toBe(503)
  } finally {
    await holder.end()
    await app.close()
    await relay.cut()
    await database.drop()
  }
})

it('stops although Redis is down: what it had to hand back is found in Postgres', async () => {
  const database = await createDatabase()
  const redis = await startRedis()
  const app = await startTestApp({ databaseUrl: database.url, redisUrl: redis.url, api: true, worker: true })
  await until('the lanes are laid', async () => (await app.queues.queues.poll.getJobSchedulersCount()) > 0)
  await redis.kill()
  await until('the outage is noticed', async () => (await send('GET', `${app.url}/readyz`)).status === 503)
  // The close has time limits; without the limits BullMQ waits for ever, and the test times out.
  await app.close()
  await redis.destroy()
  await database.drop()
})
