// A worker and an API told to stop, as real processes: paid work is recorded, running work ends, and the rest is handed
// back and done by other processes.

import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { clientOf, generationOf, MINIMAL, send } from './support/api.ts'
import { type RunningCommand, runCommand } from './support/command.ts'
import { createDatabase, runSql, type TestDatabase } from './support/database.ts'
import { endGeneration, startGeneration } from './support/endings.ts'
import { BACKENDS } from './support/pipeline.ts'
import { startRedis, type TestRedis } from './support/redis.ts'
import { type Act, answer, hang, startScriptedUpstream } from './support/scripted-upstream.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'
import { closeEndpoints, endpoint } from './support/webhook-endpoint.ts'

/** Running submissions of a worker, and additional waiting submissions. */
const AT_ONCE = 200
const WAITING = 10

let database: TestDatabase
let redis: TestRedis | undefined
let upstream: Awaited<ReturnType<typeof startScriptedUpstream>>
let api: TestApp
let env: Record<string, string>
const apps: TestApp[] = []
const commands: RunningCommand[] = []

async function open(backend: (typeof BACKENDS)[number]): Promise<void> {
  database = await createDatabase()
  redis = backend === 'redis' ? await startRedis() : undefined
  upstream = await startScriptedUpstream()
  env = {
    UPSTREAM_BASE_URL: upstream.origin,
    UPSTREAM_API_KEY: 'any',
    // A request to a silent provider waits longer than this test runs.
    UPSTREAM_TIMEOUT_MS: '600000',
    RECONCILE_INTERVAL_MS: '500',
    UPSTREAM_MAX_IN_FLIGHT: '1000',
  }
  api = await app({ api: true })
}

async function app(parts: { api?: true; worker?: true }): Promise<TestApp> {
  const one = await startTestApp({ databaseUrl: database.url, ...(redis && { redisUrl: redis.url }), env, ...parts })
  apps.push(one)
  return one
}

async function start(name: 'start-worker' | 'start-api', says: string): Promise<RunningCommand> {
  const { DATABASE_URL = '', REDIS_URL, SECRET_KEY = '' } = api.context.config
  const command = runCommand([name], {
    ...env,
    DATABASE_URL,
    SECRET_KEY,
    PORT: '0',
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.0/8',
    ...(REDIS_URL !== undefined && { REDIS_URL }),
  })
  commands.push(command)
  await until(`${name} has started`, () => command.output().includes(says), { timeoutMs: 30_000 })
  return command
}

afterEach(async () => {
  for (const { child } of commands.splice(0)) child.kill('SIGKILL')
  await Promise.all(apps.splice(0).map((one) => one.close()))
  await closeEndpoints()
  await upstream.stop()
  await redis?.destroy()
  await database.drop()
})

async function stop({ child, output }: RunningCommand): Promise<void> {
  child.kill('SIGTERM')
  await until('it has heard', () => output().includes('finishing what is under way'))
}

const rows = <Row extends object>(sql: string) => runSql<Row & Record<string, unknown>>(database.url, sql)
const count = async (sql: string) => (await rows(`SELECT 1 FROM ${sql}`)).length
const creates = () => upstream.received.filter((one) => one.method === 'POST')
const accept: Act = (response, one) => {
  const id = one.method === 'POST' ? `sora_${JSON.parse(one.body).prompt}` : 'any'
  answer(200, { id, status: 'queued' })(response, one)
}

describe.each(BACKENDS)('a worker on %s that receives the signal to stop', (backend) => {
  beforeEach(() => open(backend))

  it('lets the submissions under way end, records their tasks, begins no other, and leaves the rest to others', async () => {
    const held: (() => void)[] = []
    upstream.play(accept)
    const worker = await start('start-worker', 'worker.started')
    const client = clientOf(api.url, api.key)
    // Until the provider is proven, a worker submits one generation at a time.
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
    // A poll of a real task, not the doctor's question at the start.
    await until('it is known', () => upstream.received.some((one) => one.url.includes('/sora_')))
    upstream.play((response, one) => held.push(() => accept(response, one)))
    const items = Array.from({ length: AT_ONCE + WAITING }, (_, n) => ({ ...MINIMAL, prompt: `number-${n}` }))
    expect((await client.post('/v1/batches', { items })).status).toBe(202)
    await until('all it can do at once is under way', () => creates().length === AT_ONCE, { timeoutMs: 30_000 })

    await stop(worker)
    for (const release of held) release()
    expect(await worker.ended, worker.output()).toBe(0)
    expect(creates()).toHaveLength(AT_ONCE)
    expect(await count(`submissions WHERE state = 'accepted' AND upstream_task_id IS NOT NULL`)).toBe(1 + AT_ONCE)
    expect(await count(`generations WHERE status = 'queued'`)).toBe(WAITING)

    upstream.play(accept)
    await app({ worker: true })
    await until(
      'another has submitted the rest',
      async () => (await count(`generations WHERE status = 'processing'`)) === 1 + AT_ONCE + WAITING,
    )
    expect(creates()).toHaveLength(WAITING)
    expect(await count('submissions')).toBe(1 + AT_ONCE + WAITING)
  })

  it('twice ends at once with code 1, and what it had under way is read as unknown later, never repeated', async () => {
    upstream.play(hang)
    const worker = await start('start-worker', 'worker.started')
    const client = clientOf(api.url, api.key)
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    await until('it is under way', () => creates().length === 1)
    await stop(worker)
    // A second signal within a moment counts as the same signal, because npm passes signals on.
    await until('a second signal has ended it', () => {
      worker.child.kill('SIGTERM')
      return worker.child.exitCode !== null
    })
    expect(await worker.ended, worker.output()).toBe(1)
    expect(await count(`submissions WHERE state = 'started'`)).toBe(1)

    // Ends the lease, as time would.
    await rows(`UPDATE submissions SET lease_until = now()`)
    await rows(`UPDATE generations SET due_at = now()`)
    await app({ worker: true })
    const ended = await until('it has ended', async () => {
      const generation = generationOf(await client.get(`/v1/generations/${id}`))
      return generation.finished_at ? generation : null
    })
    expect(ended).toMatchObject({ status: 'failed', error: { code: 'submission_unknown' } })
    expect(creates()).toHaveLength(1)
  })

  it('releases unanswered polls, and lets the delivery under way end', async () => {
    const held: (() => void)[] = []
    const hook = await endpoint((response) => held.push(() => response.writeHead(204).end()))
    upstream.play(hang)
    const client = clientOf(api.url, api.key)
    const { prisma } = api.database
    const post = async (fields = {}) => generationOf(await client.post('/v1/generations', { ...MINIMAL, ...fields })).id
    const ids = [await post(), await post(), await post()]
    for (const id of ids) await startGeneration(api.database, id)
    await endGeneration(api.database, await post({ webhook_url: hook.url }), 'completed')
    await prisma.generation.updateMany({ where: { id: { in: ids } }, data: { dueAt: new Date(0) } })

    const worker = await start('start-worker', 'worker.started')
    // A start also asks once whether the provider is reachable.
    const asked = () => ids.filter((id) => upstream.received.some((one) => one.url.includes(id))).length
    await until('it polls and delivers', () => asked() === ids.length && held.length === 1)
    await stop(worker)
    for (const release of held) release()
    expect(await worker.ended, worker.output()).toBe(0)
    expect(await count(`generations WHERE status = 'processing' AND due_at <= now()`)).toBe(ids.length)
    expect(await prisma.delivery.findMany({ select: { state: true, attempts: true } })).toEqual([
      { state: 'succeeded', attempts: 1 },
    ])

    upstream.play(answer(200, { id: 'any', status: 'failed', error: 'no' }))
    await app({ worker: true })
    await until('another has asked', async () => (await count(`generations WHERE status = 'failed'`)) === ids.length)
  })
})

describe('an API that receives the signal to stop', () => {
  beforeEach(() => open('postgres'))

  it('answers the requests that it has begun to hear, and ends with code 0', async () => {
    const running = await start('start-api', 'api.started')
    const url = /"url":"(http:[^"]+)"/.exec(running.output())?.[1] ?? ''
    const headers = { authorization: `Bearer ${api.key}` }
    const { id } = JSON.parse((await send('POST', `${url}/v1/generations`, MINIMAL, headers)).text)
    const waiting = send('GET', `${url}/v1/generations/${id}?wait=50`, undefined, headers)
    const body = JSON.stringify(MINIMAL)
    const slow = httpRequest(`${url}/v1/generations`, {
      method: 'POST',
      headers: { ...headers, 'content-type': 'application/json', 'content-length': body.length },
    })
    slow.write(body.slice(0, 10))
    await until('the request waits', async () => {
      const looks = `pg_stat_activity WHERE datname = current_database() AND query ILIKE '%/* endedAmong */%' AND pid <> pg_backend_pid()`
      return (await count(looks)) > 0
    })
    await stop(running)
    slow.end(body.slice(10))
    const [response] = (await once(slow, 'response')) as [IncomingMessage]
    response.resume()
    expect([response.statusCode, (await waiting).status]).toEqual([202, 200])
    expect(await running.ended, running.output()).toBe(0)
    expect(await count('generations')).toBe(2)
  })
})
