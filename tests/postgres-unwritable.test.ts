// A Postgres that answers but cannot work: read-only after a demotion, a full disk, no free connection. Each refusal
// comes from a real server, with SQLSTATE and message.
import { randomBytes } from 'node:crypto'
import { readiness } from '@reelqueue/contract/wire/readiness'
import { beforeAll, describe, expect, inject, it } from 'vitest'
import { generationOf, MINIMAL, problemOf, send, startApi } from './support/api.ts'
import { runSql } from './support/database.ts'
import { answer, startScriptedUpstream } from './support/scripted-upstream.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi({ UPSTREAM_API_KEY: 'any' })
const sql = (text: string) => runSql(database.url, text)
const name = new URL(database.url).pathname.slice(1)
const endSessions = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '${name}' AND application_name = 'reelqueue'`

async function readyOf(base: string) {
  const reply = await send('GET', `${base}/readyz`)
  return { code: reply.status, ...readiness.parse(JSON.parse(reply.text)).checks }
}

const REFUSALS = [
  ['53100', 'The disk of Postgres is full'],
  ['53200', 'Postgres has no memory left'],
  ['53300', 'Postgres takes no more connections'],
  ['53400', 'Postgres has reached a limit of its configuration'],
  ['25006', 'Postgres is read-only'],
  ['58030', 'Postgres cannot read or write its files'],
  ['57014', 'Postgres is too busy'],
  ['55P03', 'Postgres is too busy'],
  ['40001', 'Postgres is too busy'],
  ['57P03', 'Postgres is starting or stopping'],
  ['08006', 'Postgres does not answer'],
] as const

describe('a write that Postgres refuses for now', () => {
  beforeAll(() =>
    sql(`CREATE TABLE refusing (state text);
      CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE code text := (SELECT max(state) FROM public.refusing);
        BEGIN IF code IS NOT NULL THEN RAISE EXCEPTION 'kein Platz in /var/lib/inside' USING ERRCODE = code; END IF; RETURN NULL; END $$;
      CREATE TRIGGER refuse BEFORE INSERT ON generations FOR EACH STATEMENT EXECUTE FUNCTION refuse();
      CREATE TRIGGER refuse BEFORE INSERT ON batches FOR EACH STATEMENT EXECUTE FUNCTION refuse();
      CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON webhook_endpoints FOR EACH STATEMENT EXECUTE FUNCTION refuse();
      CREATE TRIGGER refuse BEFORE UPDATE ON ledgers FOR EACH STATEMENT EXECUTE FUNCTION refuse()`),
  )

  it('is a 503 with Retry-After that names the cause', async () => {
    for (const [state, words] of REFUSALS) {
      await sql(`INSERT INTO refusing VALUES ('${state}')`)
      const replies = await Promise.all([
        client.post('/v1/generations', MINIMAL),
        client.post('/v1/batches', { items: [MINIMAL] }),
        client.post('/v1/webhook_endpoints', { url: 'https://example.com/hook' }),
      ])
      await sql('DELETE FROM refusing')
      for (const reply of replies) {
        expect(problemOf(reply), state).toMatchObject({ status: 503, code: 'unavailable' })
        expect(problemOf(reply).detail).toContain(words)
        expect(reply.text).not.toContain('inside')
        expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
      }
    }
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
  })

  it('makes readiness false, which names it', async () => {
    await sql(`INSERT INTO refusing VALUES ('53100')`)
    const detail = 'The disk of Postgres is full'
    await until('not ready', async () => (await readyOf(app.url)).postgres.detail === detail)
    await sql('DELETE FROM refusing')
    await until('ready again', async () => (await readyOf(app.url)).code === 200)
  })

  it('is a bug and no outage when the statement itself is at fault', async () => {
    await sql(`INSERT INTO refusing VALUES ('22012')`)
    const reply = await client.post('/v1/batches', { items: [MINIMAL] })
    await sql('DELETE FROM refusing')
    expect(problemOf(reply).code).toBe('internal_error')
  })
})

describe('a Postgres that has become read-only', () => {
  it('makes accepting a 503 and readiness false, and is left as soon as it takes writes again', async () => {
    await sql(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
    await sql(endSessions)
    await until('not ready', async () => (await readyOf(app.url)).postgres.detail === 'Postgres is read-only')
    expect(problemOf(await client.post('/v1/generations', MINIMAL)).detail).toContain('Postgres is read-only')
    // Reads still work.
    expect((await client.get('/v1/generations')).status).toBe(200)
    // Open connections stay read-only: nothing ends them from outside.
    await runSql(inject('postgresUrl'), `ALTER DATABASE ${name} RESET default_transaction_read_only`)
    // A batch is a transaction: pg's pool drops the connection of a failed statement, but keeps the connection of a
    // failed transaction.
    const batch = { items: [MINIMAL] }
    await until('accepts a batch again', async () => (await client.post('/v1/batches', batch)).status === 202)
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
    await until('ready again', async () => (await readyOf(app.url)).code === 200)
  })

  it.each(['read-only', 'disk full'])('keeps a task id that was paid for: %s', async (kind) => {
    const upstream = await startScriptedUpstream()
    let release: (() => void) | undefined
    const taskId = `task-${kind.replace(' ', '-')}`
    upstream.play((response, received) => {
      if (received.method !== 'POST') return answer(200, { id: taskId, status: 'processing' })(response, received)
      release = () => answer(200, { id: taskId, status: 'pending' })(response, received)
    })
    // Before the worker starts: the worker would submit generations of earlier tests.
    await sql(
      `UPDATE generations SET status = 'cancelled', finished_at = now(), due_at = NULL, admitted_at = NULL WHERE status <> 'cancelled'`,
    )
    const worker = await startTestApp({
      databaseUrl: database.url,
      worker: true,
      env: { UPSTREAM_BASE_URL: upstream.origin, UPSTREAM_API_KEY: 'any', UPSTREAM_MAX_IN_FLIGHT: '1' },
    })
    try {
      const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
      await until('the provider has the request', () => release)
      if (kind === 'read-only') {
        await sql(`ALTER DATABASE ${name} SET default_transaction_read_only = on`)
        await sql(endSessions)
      } else {
        await sql(`CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS $$
          BEGIN RAISE EXCEPTION 'full' USING ERRCODE = '53100'; END $$;
          CREATE TRIGGER disk_full BEFORE UPDATE ON submissions FOR EACH STATEMENT EXECUTE FUNCTION disk_full()`)
      }
      release?.()
      await until('the result could not be recorded', async () =>
        (await worker.logLines()).some(
          ({ event, upstreamTaskId }) => event === 'submit.unrecorded' && upstreamTaskId === taskId,
        ),
      )
      if (kind === 'read-only')
        await runSql(inject('postgresUrl'), `ALTER DATABASE ${name} RESET default_transaction_read_only`)
      else await sql('DROP FUNCTION disk_full CASCADE')
      await until('recorded', async () => {
        const [row] = await sql(`SELECT status, upstream_task_id AS task FROM generations WHERE id = '${id}'`)
        return row?.status === 'processing' && row.task === taskId
      })
      expect(upstream.received.filter(({ method }) => method === 'POST')).toHaveLength(1)
    } finally {
      await worker.close()
      await upstream.stop()
    }
  })
})

describe('a Postgres without a connection left', () => {
  it('makes accepting a 503 and readiness false, in words', async () => {
    const role = `rq_few_${randomBytes(4).toString('hex')}`
    await sql(
      `CREATE ROLE ${role} LOGIN PASSWORD 'few'; GRANT ALL ON SCHEMA public TO ${role}; GRANT ALL ON ALL TABLES IN SCHEMA public TO ${role}`,
    )
    const url = new URL(database.url)
    url.username = role
    url.password = 'few'
    const few = await startTestApp({ databaseUrl: url.href, redisUrl: 'redis://127.0.0.1:1', api: true })
    try {
      await sql(
        `ALTER ROLE ${role} CONNECTION LIMIT 0; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '${role}'`,
      )
      const post = () => send('POST', `${few.url}/v1/generations`, MINIMAL, { authorization: `Bearer ${few.key}` })
      const detail = 'Postgres takes no more connections'
      await until('refused', async () => problemOf(await post()).detail.includes(detail))
      expect((await readyOf(few.url)).postgres).toEqual({ ok: false, detail })
      await sql(`ALTER ROLE ${role} CONNECTION LIMIT -1`)
      await until('accepts again', async () => (await post()).status === 202)
    } finally {
      await few.close()
      await sql(`DROP OWNED BY ${role}; DROP ROLE ${role}`)
    }
  })
})
