// Liveness, readiness, and the API's behaviour during outages. The outages are real: Redis is stopped, and a relay cuts
// off Postgres.
import { once } from 'node:events'
import { Agent, request } from 'node:http'
import { readiness } from '@reelqueue/contract/wire/readiness'
import { noteUnstorable } from '@reelqueue/shared/store/unstorable'
import { afterEach, describe, expect, it } from 'vitest'
import { clientOf, generationOf, MINIMAL, problemOf, send } from './support/api.ts'
import { createDatabase, runSql } from './support/database.ts'
import { startRedis } from './support/redis.ts'
import { startRelay } from './support/relay.ts'
import { startTestApp, type TestAppOptions } from './support/test-app.ts'
import { until } from './support/wait.ts'

const cleanups: (() => Promise<void>)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

async function start(options: Partial<TestAppOptions> = {}) {
  const databaseUrl = options.databaseUrl ?? (await ownDatabase())
  const app = await startTestApp({ databaseUrl, api: true, ...options })
  cleanups.push(() => app.close())
  return { databaseUrl, app, client: clientOf(app.url, app.key) }
}

async function ownDatabase(): Promise<string> {
  const database = await createDatabase()
  cleanups.push(() => database.drop())
  return database.url
}

async function readyOf(base: string) {
  const reply = await send('GET', `${base}/readyz`)
  const { status, checks } = readiness.strict().parse(JSON.parse(reply.text))
  expect(reply.status).toBe(status === 'ready' ? 200 : 503)
  expect(reply.headers['retry-after']).toBe(status === 'ready' ? undefined : '5')
  return { status, ...checks }
}

describe('GET /healthz', () => {
  it('answers without a key', async () => {
    const { app } = await start()
    const reply = await send('GET', `${app.url}/healthz`)
    expect([reply.status, JSON.parse(reply.text)]).toEqual([200, { status: 'ok' }])
  })
})

describe('GET /readyz', () => {
  it('is ready without a key, and says that nothing will be submitted without UPSTREAM_API_KEY', async () => {
    const { app, client } = await start()
    await client.post('/v1/generations', MINIMAL)
    const ready = await readyOf(app.url)
    expect(ready).toMatchObject({ status: 'ready', postgres: { ok: true }, queue: { ok: true }, work: { ok: true } })
    expect(ready.upstream.ok).toBe(false)
    expect(ready.upstream.detail).toContain('UPSTREAM_API_KEY')
  })

  it('says that it may submit when there is a key', async () => {
    const { app } = await start({ env: { UPSTREAM_API_KEY: 'any' } })
    expect(await readyOf(app.url)).toMatchObject({ status: 'ready', upstream: { ok: true } })
  })

  it('is not ready while due work is not looked at', async () => {
    const { databaseUrl, app, client } = await start()
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    const due = (ago: string) =>
      runSql(
        databaseUrl,
        `UPDATE generations SET admitted_at = now(), due_at = now() - interval '${ago}' WHERE id = '${id}'`,
      )
    await due('50 seconds')
    expect(await readyOf(app.url)).toMatchObject({ status: 'ready', work: { ok: true } })
    await due('70 seconds')
    expect(await readyOf(app.url)).toMatchObject({ status: 'not_ready', postgres: { ok: true }, work: { ok: false } })
  })

  it('stays ready beside a row that Postgres refuses to write, says so, and so does the generation', async () => {
    const { databaseUrl, app, client } = await start()
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    await runSql(
      databaseUrl,
      `UPDATE generations SET admitted_at = now(), due_at = now() - interval '1 hour' WHERE id = '${id}'`,
    )
    expect(generationOf(await client.get(`/v1/generations/${id}`))).not.toHaveProperty('unstorable')
    await noteUnstorable(app.database, 'submit', id, new Error('any'))
    const { status, work } = await readyOf(app.url)
    expect([status, work.ok]).toEqual(['ready', true])
    expect(work.detail).toMatch(/refuses to write 1 row since .* the log says why/)
    expect(generationOf(await client.get(`/v1/generations/${id}`)).unstorable).toMatchObject({
      sql_state: 'unknown',
      failures: 1,
      next_try_at: expect.stringMatching(/Z$/),
    })
    const told = (await app.logLines()).filter((line) => line.event === 'row.unstorable')
    expect(told).toMatchObject([{ id, statement: 'submit', failures: 1 }])
    // The retry is overdue: no process retries the row.
    await runSql(databaseUrl, `UPDATE unstorable_rows SET retry_at = now() - interval '70 seconds'`)
    await until('it is not ready', async () => (await readyOf(app.url)).status === 'not_ready')
  })

  it('is not ready while no worker takes jobs of a step, however late reconcile has made its rows due', async () => {
    const { databaseUrl, app, client } = await start()
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    const ran = (ago: string) =>
      runSql(
        databaseUrl,
        `INSERT INTO step_runs (step, ran_at) VALUES ('submit', now() - interval '${ago}') ON CONFLICT (step) DO UPDATE SET ran_at = excluded.ran_at`,
      )
    const enqueued = `admitted_at = now() - interval '5 min', due_at = now() + interval '1 min'`
    await runSql(databaseUrl, `UPDATE generations SET ${enqueued} WHERE id = '${id}'`)
    await ran('5 min')
    const detail = expect.stringMatching(/work of submit is due, and no worker takes jobs of it/)
    expect(await readyOf(app.url)).toMatchObject({ status: 'not_ready', work: { ok: false, detail } })
    await ran('1 s')
    expect(await readyOf(app.url)).toMatchObject({ status: 'ready', work: { ok: true } })
  })
})

describe('while the provider refuses polls', () => {
  it('says so at once, is not ready after five minutes, and goes on accepting', async () => {
    const { databaseUrl, app, client } = await start()
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    const refused = (ago: string) =>
      runSql(
        databaseUrl,
        `UPDATE generations SET status = 'processing', admitted_at = now(), upstream_task_id = 't', due_at = now() + interval '1 hour',
           submitted_at = now() - interval '1 hour', last_pending_at = now() - interval '${ago}',
           last_poll = '{"class": "refused", "http_status": 401}' WHERE id = '${id}'`,
      )
    expect((await readyOf(app.url)).polls).toEqual({ ok: true, detail: 'not refused' })
    await refused('4 minutes')
    const polls = { ok: false, detail: expect.stringMatching(/refuses polls since 20.*HTTP 401.*UPSTREAM_API_KEY/) }
    expect(await readyOf(app.url)).toMatchObject({ status: 'ready', polls })
    await refused('6 minutes')
    expect(await readyOf(app.url)).toMatchObject({ status: 'not_ready', work: { ok: true }, polls })
    expect((await send('GET', `${app.url}/readyz?for=accept`)).status).toBe(200)
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
  })
})

describe('GET /readyz?for=accept', () => {
  it('asks only whether requests can be stored: work that stands still does not count', async () => {
    const { databaseUrl, app, client } = await start()
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    const overdue = `admitted_at = now() - interval '1 hour', due_at = now() - interval '1 hour'`
    await runSql(databaseUrl, `UPDATE generations SET ${overdue} WHERE id = '${id}'`)
    const of = async (query: string) => (await send('GET', `${app.url}/readyz${query}`)).status
    expect([await of(''), await of('?for=accept')]).toEqual([503, 200])
  })

  it('takes no other value, and nothing else', async () => {
    const { app } = await start()
    for (const query of ['?for=submit', '?for=', '?for=accept&for=accept', '?other=1']) {
      const reply = await send('GET', `${app.url}/readyz${query}`)
      expect([query, reply.status, problemOf(reply).code]).toEqual([query, 422, 'validation_failed'])
    }
  })
})

describe('while Redis is away', () => {
  it('says so, and goes on accepting, reading and cancelling', async () => {
    const redis = await startRedis()
    cleanups.push(() => redis.destroy())
    const { app, client } = await start({ redisUrl: redis.url, env: { UPSTREAM_API_KEY: 'any' } })
    expect((await readyOf(app.url)).status).toBe('ready')
    await redis.kill()
    expect(await readyOf(app.url)).toMatchObject({
      status: 'not_ready',
      postgres: { ok: true },
      queue: { ok: false },
    })
    const reply = await client.post('/v1/generations', MINIMAL)
    expect(reply.status).toBe(202)
    const { id } = generationOf(reply)
    expect(generationOf(await client.get(`/v1/generations/${id}`)).status).toBe('queued')
    expect(generationOf(await client.post(`/v1/generations/${id}/cancel`)).status).toBe('cancelled')
    expect((await client.post('/v1/batches', { items: [MINIMAL] })).status).toBe(202)
    await redis.restart({ wipe: true })
    await until('it is ready again', async () => (await readyOf(app.url)).status === 'ready')
  })
})

describe('while Postgres is away', () => {
  it('lives, says what is missing, and asks callers to come back; afterwards all is well', async () => {
    const direct = new URL(await ownDatabase())
    const relay = await startRelay({ host: direct.hostname, port: Number(direct.port) })
    cleanups.push(() => relay.cut())
    const throughRelay = new URL(direct)
    throughRelay.host = `127.0.0.1:${relay.port}`
    const { app, client } = await start({ databaseUrl: throughRelay.href })
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)

    await relay.cut()
    expect((await send('GET', `${app.url}/healthz`)).status).toBe(200)
    const ready = await readyOf(app.url)
    expect(ready).toMatchObject({ status: 'not_ready', postgres: { ok: false }, queue: { ok: false } })
    expect(JSON.stringify(ready)).not.toContain(String(relay.port))
    for (const request of [
      () => client.post('/v1/generations', MINIMAL),
      () => client.post('/v1/generations', MINIMAL),
      () => client.get('/v1/generations'),
      () => client.post('/v1/batches', { items: [MINIMAL] }),
    ]) {
      const reply = await request()
      expect(problemOf(reply).code).toBe('unavailable')
      expect(reply.status).toBe(503)
      expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
      expect(reply.text).not.toContain(String(relay.port))
    }

    await relay.mend()
    await until('it is ready again', async () => (await readyOf(app.url)).status === 'ready')
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
  })
})

it('stops at once although a client keeps the connection of its last request open', async () => {
  const { databaseUrl, app, client } = await start()
  const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
  // A request that waits when the stop begins and is answered during the stop. Its connection would then stay open
  // longer than this test.
  const agent = new Agent({ keepAlive: true })
  const headers = { authorization: `Bearer ${app.key}` }
  const asking = request(`${app.url}/v1/generations/${id}?wait=50`, { agent, headers }).end()
  const answered = once(asking, 'response').then(([response]) => response.resume().statusCode)
  await until('the request waits', async () => {
    const sql = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE '%/* endedAmong */%' AND pid <> pg_backend_pid()`
    return (await runSql(databaseUrl, sql)).length > 0
  })
  await app.close()
  expect(await answered).toBe(200)
  agent.destroy()
})
