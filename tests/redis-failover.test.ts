// A Redis name that suddenly leads elsewhere: to an empty Redis, to a promoted replica, or, after connections died
// silently, to the same Redis. No process is restarted.

import { afterEach, expect, it } from 'vitest'
import { type Pipeline, startPipeline } from './support/pipeline.ts'
import { startRedis, type TestRedis } from './support/redis.ts'
import { until } from './support/wait.ts'

let pipeline: Pipeline | undefined
let second: TestRedis | undefined
afterEach(async () => {
  await pipeline?.close()
  await second?.destroy()
  pipeline = undefined
  second = undefined
})

const COUNT = 10
const LOCALHOST = '127.0.0.1'
const portOf = (redis: TestRedis) => Number(new URL(redis.url).port)

/** A pipeline with running work, and the parts between the pipeline and Redis. */
async function underWay() {
  // Nothing finishes before the test says so.
  const env = { RECONCILE_INTERVAL_MS: '500', UPSTREAM_TIMEOUT_MS: '30000' }
  pipeline = await startPipeline({ backend: 'redis', speed: 0.01, env })
  const { api, post, redis, relay } = pipeline
  if (!redis || !relay) throw new Error('no Redis')
  const ids = await Promise.all(Array.from({ length: COUNT }, () => post('')))
  const rendering = () => api.database.prisma.generation.count({ where: { status: 'processing' } })
  await until('all render', async () => (await rendering()) === COUNT)
  return { ...pipeline, ids, redis, relay }
}

/** Running and new work ends, and every generation was paid for once. */
async function goesOn({ post, ended, simulator, totalSubmissions }: Pipeline, ids: readonly string[]): Promise<void> {
  await simulator.inject({ method: 'POST', url: '/control/speed', payload: { speed: 1e9 } })
  const later = await Promise.all(Array.from({ length: COUNT }, () => post('')))
  for (const id of [...ids, ...later]) expect(await ended(id)).toMatchObject({ status: 'completed' })
  expect(await totalSubmissions()).toBe(2 * COUNT)
}

/** Whether all worker connections lead to this Redis: each queue has a connection that waits for jobs. */
async function isServing(redis: TestRedis): Promise<boolean> {
  const waiting = (await redis.run('CLIENT LIST')).match(/cmd=bzpopmin/g) ?? []
  return waiting.length >= 5
}

it('is followed to another address, where there is nothing of what was before', async () => {
  const { redis, relay, ids, ...rest } = await underWay()
  second = await startRedis()
  relay.aim({ host: LOCALHOST, port: portOf(second) })
  await redis.kill()
  await goesOn({ redis, relay, ...rest }, ids)
  await until('the workers wait at the new address', () => second && isServing(second))
})

it('is followed when a replica is promoted and the old primary goes on answering as its replica', async () => {
  const { redis, relay, ids, ...rest } = await underWay()
  second = await startRedis()
  await second.run(`REPLICAOF ${LOCALHOST} ${portOf(redis)}`)
  await until('the replica is up to date', async () =>
    (await second?.run('INFO replication'))?.includes('link_status:up'),
  )

  await second.run('REPLICAOF NO ONE')
  relay.aim({ host: LOCALHOST, port: portOf(second) })
  expect(await redis.run(`REPLICAOF ${LOCALHOST} ${portOf(second)}`)).toContain('OK')
  await goesOn({ redis, relay, ...rest }, ids)
  await until('the workers wait at the new primary', () => second && isServing(second))
})

it('is connected again when its connections die silently', async () => {
  const { relay, ids, ...rest } = await underWay()
  relay.swallow()
  relay.serve()
  await goesOn({ relay, ...rest }, ids)
})
