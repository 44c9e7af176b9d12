// A Redis that answers and refuses: full, a replica, without permission, a Cluster node, unable to save. A few log
// lines name the reason, workers ask rarely, and after the cause is gone workers take jobs again. All cases run at the
// same time.

import { readiness } from '@reelqueue/contract/wire/readiness'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { clientOf, generationOf, MINIMAL, send } from './support/api.ts'
import { createDatabase, runSql, type TestDatabase } from './support/database.ts'
import { type RedisSettings, startRedis, type TestRedis } from './support/redis.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

let database: TestDatabase
beforeAll(async () => {
  database = await createDatabase()
  // Polls must be due, so that pollers are busy: an idle worker asks once a minute, and would be refused equally
  // rarely.
  const app = await startTestApp({ databaseUrl: database.url, api: true })
  const { id } = generationOf(await clientOf(app.url, app.key).post('/v1/generations', MINIMAL))
  const rendering = `status = 'processing', admitted_at = now(), submitted_at = now(), upstream_task_id = 't', due_at = now()`
  await runSql(database.url, `UPDATE generations SET ${rendering} WHERE id = '${id}'`)
  await app.close()
})
afterAll(() => database.drop())

interface Refusal {
  readonly settings?: RedisSettings
  readonly begin: (redis: TestRedis) => Promise<unknown>
  readonly end: (redis: TestRedis) => Promise<unknown>
  /** Part of Redis' message. */
  readonly says: RegExp
  /** Readiness' message, with the fix. */
  readonly ready: RegExp
}

const REFUSALS: Readonly<Record<string, Refusal>> = {
  'is full': {
    begin: (redis) => redis.run('CONFIG SET maxmemory 1'),
    end: (redis) => redis.run('CONFIG SET maxmemory 0'),
    says: /OOM/,
    ready: /OOM.*maxmemory/,
  },
  'misses a command in its ACL': {
    begin: (redis) => redis.run('ACL SETUSER default -rpoplpush -zpopmin -zadd -lpush'),
    end: (redis) => redis.run('ACL SETUSER default +@all'),
    says: /permission|can't run this/,
    ready: /NOPERM.*ACL SETUSER/,
  },
  'may not run scripts': {
    begin: (redis) => redis.run('ACL SETUSER default -evalsha -eval'),
    end: (redis) => redis.run('ACL SETUSER default +@all'),
    says: /permission|can't run this/,
    ready: /NOPERM.*ACL SETUSER/,
  },
  'was demoted': {
    begin: (redis) => redis.run('REPLICAOF 127.0.0.1 1'),
    end: (redis) => redis.run('REPLICAOF NO ONE'),
    says: /READONLY/,
    ready: /READONLY.*primary/,
  },
  'is a node of a Cluster that lost its slots': {
    settings: { 'cluster-enabled': 'yes' },
    begin: (redis) => redis.run('CLUSTER DELSLOTSRANGE 0 16383'),
    end: (redis) => redis.run('CLUSTER ADDSLOTSRANGE 0 16383'),
    says: /CLUSTERDOWN/,
    ready: /Cluster.*REDIS_URL/,
  },
}

const WINDOW_MS = 8_000
/** Warnings and errors of a process in the window. Before, each case logged thousands. */
const LINES_MAX = 40
/** Calls of a worker's five queues in the window: each queue finally asks every five seconds. */
const REFUSED_MAX = 300

/** Number of calls refused by Redis. */
async function refusedCalls(redis: TestRedis): Promise<number> {
  const stats = (await redis.run('INFO commandstats')) + (await redis.run('INFO errorstats'))
  return [...stats.matchAll(/errorstat_[A-Z]+:count=(\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0)
}

it.concurrent.each(Object.entries(REFUSALS))(
  'a Redis that %s costs few lines and calls, and is worked with again by itself',
  async (_, { settings, begin, end, says, ready }) => {
    const redis = await startRedis(settings)
    if (settings?.['cluster-enabled']) {
      await redis.run('CLUSTER ADDSLOTSRANGE 0 16383')
      await until('the Cluster is up', async () => (await redis.run('CLUSTER INFO')).includes('cluster_state:ok'))
    }
    const env = { UPSTREAM_API_KEY: 'any', UPSTREAM_BASE_URL: 'http://127.0.0.1:1', RECONCILE_INTERVAL_MS: '2000' }
    const app = await startTestApp({ databaseUrl: database.url, redisUrl: redis.url, env, api: true, worker: true })
    const { complete, poll } = app.queues.queues
    const readyz = async (query = '') => {
      const reply = await send('GET', `${app.url}/readyz${query}`)
      return { code: reply.status, ...readiness.parse(JSON.parse(reply.text)).checks }
    }
    const takesJobs = async () => {
      const job = await complete.add('complete', { id: `none_${Math.random()}` })
      await until('it is done', async () => (await complete.getJobState(job.id ?? '')) === 'completed')
      return true
    }
    try {
      await until('the lanes are laid', async () => (await poll.getJobSchedulersCount()) > 0)
      await takesJobs()
      const linesBefore = (await app.logLines()).length
      const refusedBefore = await refusedCalls(redis)
      expect(await begin(redis)).toContain('OK')
      const begunAt = performance.now()
      await until('it is reported', async () =>
        (await app.logLines()).slice(linesBefore).some(({ err }) => says.test(JSON.stringify(err) ?? '')),
      )
      const queue = { ok: false, detail: expect.stringMatching(ready) }
      expect(await readyz()).toMatchObject({ code: 503, postgres: { ok: true }, queue })
      expect(await readyz('?for=accept')).toMatchObject({ code: 200, postgres: { ok: true }, queue })
      await until('the window is over', () => performance.now() - begunAt >= WINDOW_MS, {
        timeoutMs: WINDOW_MS + 5_000,
      })
      const said = (await app.logLines()).slice(linesBefore).filter(({ level }) => Number(level) >= 40)
      expect(said.length, JSON.stringify(said, null, 1)).toBeLessThan(LINES_MAX)
      expect((await refusedCalls(redis)) - refusedBefore).toBeLessThan(REFUSED_MAX)

      expect(await end(redis)).toContain('OK')
      await until('jobs are taken again', takesJobs, { timeoutMs: 20_000 })
      await until('it is ready', async () => (await readyz()).code === 200)
    } finally {
      await app.close()
      await redis.destroy()
    }
  },
  60_000,
)
