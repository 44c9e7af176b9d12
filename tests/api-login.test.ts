// Login. Programs send a key with each request; operators log in, and a client that guesses passwords has to wait. The
// queue dashboard is tested on both backends, because the dashboard reads each backend differently.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { AppContext } from '@reelqueue/shared/app-context'
import { ensurePollers } from '@reelqueue/shared/queues/pollers'
import type { Database } from '@reelqueue/shared/store/database'
import { addApiKey, ensureProject, listApiKeys, newApiKey, revokeApiKey } from '@reelqueue/shared/store/projects'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { bootstrapProject, makeOperatorPassword } from '../bin/bootstrap.ts'
import { clientOf, countRows, MINIMAL, problemOf, send } from './support/api.ts'
import { createDatabase, runSql, type TestDatabase } from './support/database.ts'
import { startRedis, type TestRedis } from './support/redis.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'

const PASSWORD = 'operator-password'
const VIEWER = 'viewer-password'
const basic = (password: string, user = 'anyone') => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})

describe('an API key', () => {
  let database: TestDatabase
  let app: TestApp
  let before: Awaited<ReturnType<typeof countRows>>

  beforeAll(async () => {
    database = await createDatabase()
    app = await startTestApp({ databaseUrl: database.url, api: true })
  })

  beforeEach(async () => {
    before = await countRows(database.url)
  })

  afterAll(async () => {
    await app?.close()
    await database?.drop()
  })

  const ROUTES = [
    ['POST', '/v1/generations'],
    ['GET', '/v1/generations'],
    ['GET', '/v1/generations/gen_x'],
    ['POST', '/v1/generations/gen_x/cancel'],
    ['GET', '/v1/generations/gen_x/events'],
    ['POST', '/v1/batches'],
    ['GET', '/v1/batches'],
    ['GET', '/v1/batches/batch_x'],
    ['POST', '/v1/sora/videos'],
    ['GET', '/v1/result/gen_x'],
  ] as const

  async function revokedKey(): Promise<string> {
    const project = await ensureProject(app.database, 'default', () => '')
    const key = newApiKey()
    await addApiKey(app.database, project.id, 'to be revoked', key)
    expect((await clientOf(app.url, key).get('/v1/generations')).status).toBe(200)
    const id = (await listApiKeys(app.database)).find((stored) => stored.name === 'to be revoked')?.id
    expect(await revokeApiKey(app.database, id ?? '')).toBe(true)
    return key
  }

  it.each(ROUTES)('is needed for %s %s, whatever the body', async (method, path) => {
    const body = method === 'POST' ? '{"broken' : undefined
    for (const authorization of [undefined, 'Bearer', 'Bearer rq_unknown', `Basic ${app.key}`, `Bearer ${app.key}x`]) {
      const reply = await send(method, app.url + path, body, {
        'content-type': 'application/json',
        ...(authorization && { authorization }),
      })
      expect(reply.status).toBe(401)
      expect(problemOf(reply).code).toBe('unauthorized')
      expect(reply.headers['www-authenticate']).toBe('Bearer')
    }
    expect(await countRows(database.url)).toEqual(before)
  })

  it('is refused from the moment it is revoked', async () => {
    const reply = await clientOf(app.url, await revokedKey()).post('/v1/generations', MINIMAL)
    expect(reply.status).toBe(401)
    expect(problemOf(reply).code).toBe('unauthorized')
    expect(await countRows(database.url)).toEqual(before)
  })

  it('is refused from the moment it is revoked, also by a request that is repeated by its idempotency key', async () => {
    const project = await ensureProject(app.database, 'default', () => '')
    const key = newApiKey()
    await addApiKey(app.database, project.id, 'to be revoked too', key)
    const client = clientOf(app.url, key)
    const again = { 'idempotency-key': 'of a key that dies' }
    expect((await client.post('/v1/generations', MINIMAL, again)).status).toBe(202)
    const rows = await countRows(database.url)
    const id = (await listApiKeys(app.database)).find((stored) => stored.name === 'to be revoked too')?.id
    expect(await revokeApiKey(app.database, id ?? '')).toBe(true)
    for (const headers of [again, {}]) {
      const reply = await client.post('/v1/generations', MINIMAL, headers)
      expect([reply.status, problemOf(reply).code]).toEqual([401, 'unauthorized'])
    }
    expect(await countRows(database.url)).toEqual(rows)
    await app.database.prisma.event.deleteMany()
    await app.database.prisma.generation.deleteMany()
  })

  it('is never written to the log, nor is a prompt', async () => {
    await clientOf(app.url, app.key).post('/v1/generations', { ...MINIMAL, prompt: 'a secret wish', size: 'wrong' })
    const log = JSON.stringify(await app.logLines())
    expect(log).toContain('request.completed')
    expect(log).not.toContain(app.key)
    expect(log).not.toContain('a secret wish')
  })
})

describe.each(['postgres', 'redis'] as const)('the queue dashboard on %s', (backend) => {
  let database: TestDatabase
  let redis: TestRedis | undefined
  let app: TestApp
  let dashboard: string

  beforeAll(async () => {
    database = await createDatabase()
    redis = backend === 'redis' ? await startRedis() : undefined
    app = await startTestApp({
      databaseUrl: database.url,
      ...(redis && { redisUrl: redis.url }),
      env: { OPERATOR_PASSWORD: PASSWORD, VIEWER_PASSWORD: VIEWER, TRUSTED_PROXIES: '127.0.0.1' },
      api: true,
    })
    dashboard = `${app.url}/admin/queues`
  })

  afterAll(async () => {
    await app?.close()
    await redis?.destroy()
    await database?.drop()
  })

  it.each([
    ['no login', {}],
    ['a wrong password', basic('wrong-password')],
    ['the password as the user name', basic('', PASSWORD)],
    ['an API key', { authorization: 'Bearer rq_test_key_of_the_project_default' }],
    ['something that is no login', { authorization: 'Basic !!!' }],
  ])('asks for a login when there is %s', async (title, login) => {
    const headers = { ...login, 'x-forwarded-for': `192.0.2.${title.length}` }
    for (const path of ['', '/api/queues', '/', '/static/favicon.ico']) {
      const reply = await send('GET', dashboard + path, undefined, headers)
      expect(reply.status, path).toBe(401)
      expect(problemOf(reply).code).toBe('operator_login_required')
      expect(reply.headers['www-authenticate']).toMatch(/^Basic realm=/)
    }
    const retry = await send('PUT', `${dashboard}/api/queues/submit/pause`, undefined, headers)
    expect(retry.status).toBe(401)
  })

  it.each([
    ['the operator', PASSWORD],
    ['the viewer', VIEWER],
  ])('shows every queue to %s', async (_title, password) => {
    const html = await send('GET', dashboard, undefined, basic(password))
    expect(html.status).toBe(200)
    expect(html.headers['content-type']).toMatch(/^text\/html/)
    const reply = await send('GET', `${dashboard}/api/queues`, undefined, basic(password))
    expect(reply.status, reply.text).toBe(200)
    const { queues } = JSON.parse(reply.text) as { queues: { name: string }[] }
    expect(queues.map((queue) => queue.name).sort()).toEqual(['complete', 'deliver', 'maintain', 'poll', 'submit'])
  })

  it('lets the operator pause a queue, and the viewer only look at it', async () => {
    const pause = `${dashboard}/api/queues/maintain/pause`
    const refused = await send('PUT', pause, undefined, basic(VIEWER))
    expect(refused.status).toBe(403)
    expect(problemOf(refused).code).toBe('read_only')
    const refusedPost = await send('POST', `${dashboard}/api/queues/maintain/add`, { name: 'x' }, basic(VIEWER))
    expect(refusedPost.status).toBe(403)
    expect(await app.queues.queues.maintain.isPaused()).toBe(false)
    expect((await send('PUT', pause, undefined, basic(PASSWORD))).status).toBe(200)
    expect(await app.queues.queues.maintain.isPaused()).toBe(true)
    const resume = await send('PUT', `${dashboard}/api/queues/maintain/resume`, undefined, basic(PASSWORD))
    expect(resume.status).toBe(200)
    expect(await app.queues.queues.maintain.isPaused()).toBe(false)
  })

  it('the pollers cannot be changed: the server refuses every change of their queue, and all other queues can be paused', async () => {
    const { poll, submit } = app.queues.queues
    await ensurePollers(poll, ['lane-0', 'lane-1'], 'busy')
    const pollers = async () => (await poll.getJobSchedulers()).map(({ key, every }) => `${key} every ${every}`).sort()
    const before = await pollers()
    expect(before).toHaveLength(2)
    const [job] = await poll.getJobs()
    // The routes of the installed version.
    const source = await readFile(join('node_modules', '@bull-board', 'api', 'dist', 'routes.js'), 'utf8')
    const routes = [...source.matchAll(/method: '(\w+)',\s+route: '([^']+)'/g)]
    const changes = routes.flatMap(([, method = '', route = '']) => (method === 'get' ? [] : [{ method, route }]))
    const ofOneQueue = changes.filter(({ route }) => route.includes(':queueName'))
    expect(ofOneQueue.length).toBeGreaterThan(15)
    for (const { method, route } of ofOneQueue) {
      const path = route
        .replace(':queueName', 'poll')
        .replace(':jobId', encodeURIComponent(job?.id ?? ''))
        .replace(':schedulerId', 'lane-0')
        .replace(':queueStatus', 'delayed')
      // A valid body for each route, so the refusal concerns the queue and not the body.
      const body = {
        name: 'x',
        data: {},
        concurrency: 1,
        max: 1,
        duration: 1_000,
        delay: 1,
        priority: 1,
        runAt: Date.now() + 3_600_000,
        every: 1,
        jobData: {},
      }
      const reply = await send(method.toUpperCase(), dashboard + path, body, basic(PASSWORD))
      expect([path, reply.status, JSON.parse(reply.text).error.key]).toEqual([path, 405, 'ERRORS.QUEUE_READ_ONLY'])
    }
    expect((await send('PUT', `${dashboard}/api/queues/pause`, undefined, basic(PASSWORD))).status).toBe(200)
    expect([await poll.isPaused(), await submit.isPaused()]).toEqual([false, true])
    expect((await send('PUT', `${dashboard}/api/queues/resume`, undefined, basic(PASSWORD))).status).toBe(200)
    expect(await pollers()).toEqual(before)
  })

  it.each(['identity', 'gzip'])('loads nothing from elsewhere (%s)', async (coding) => {
    for (const [page, assetsMin] of [
      [dashboard, 5],
      [`${dashboard}/queue/poll`, 5],
    ] as const) {
      const reply = await fetch(page, { headers: { ...basic(PASSWORD), 'accept-encoding': coding } })
      expect(reply.headers.get('content-security-policy')).toMatch(/^default-src 'self';/)
      // Short pages are not compressed.
      if (page === dashboard) expect(reply.headers.get('content-encoding') ?? 'identity').toBe(coding)
      const html = await reply.text()
      expect(html).toContain('</html>')
      expect(html.match(/(?:src|href|action)=["']?(?:https?:)?\/\/[^"' >]*/g) ?? []).toEqual([])
      const [, base = page] = /<base href="([^"]*)"/.exec(html) ?? []
      const assets = [...html.matchAll(/<(?:script|link)[^>]* (?:src|href)="([^"]+)"/g)].map(
        ([, address = '']) => address,
      )
      expect(assets.length).toBeGreaterThanOrEqual(assetsMin)
      for (const address of assets) {
        const asset = await send('GET', String(new URL(address, new URL(base, page))), undefined, basic(PASSWORD))
        expect([address, asset.status]).toEqual([address, 200])
        expect(asset.text).not.toMatch(
          /fonts\.(?:googleapis|gstatic)|@import|url\(["']?(?:https?:)?\/\/|src:\s*["']https?:/,
        )
      }
    }
  })

  it('refuses a change that a page of another site asks for, though the browser logs in', async () => {
    const pause = `${dashboard}/api/queues/maintain/pause`
    for (const origin of ['https://evil.example', 'null', app.url.replace(/\d+$/, '1')]) {
      const reply = await send('PUT', pause, undefined, { ...basic(PASSWORD), origin })
      expect(reply.status, origin).toBe(403)
      expect(problemOf(reply).code).toBe('cross_site')
    }
    expect(await app.queues.queues.maintain.isPaused()).toBe(false)
    const same = await send('PUT', pause.replace('pause', 'resume'), undefined, {
      ...basic(PASSWORD),
      origin: app.url,
    })
    expect(same.status).toBe(200)
  })
})

/** Headers that make a request come from the given address: the test's own address is a trusted proxy. */
const from = (address: string) => ({ 'x-forwarded-for': address })

describe('the operator pages without OPERATOR_PASSWORD', () => {
  let database: TestDatabase
  let apps: TestApp[]
  let password: string

  beforeAll(async () => {
    database = await createDatabase()
    const env = { OPERATOR_PASSWORD: '', TRUSTED_PROXIES: '127.0.0.1' }
    apps = await Promise.all([1, 2].map(() => startTestApp({ databaseUrl: database.url, api: true, env })))
    password = (await makeOperatorPassword(apps[0]?.context.database as Database, true)) ?? ''
  })

  afterAll(async () => {
    await Promise.all(apps?.map((app) => app.close()))
    await database?.drop()
  })

  const statusOf = async (headers: Readonly<Record<string, string>>, path = '/admin/queues', app = apps[0]) =>
    (await send('GET', app?.url + path, undefined, headers)).status

  it.each(['localhost', '127.0.0.1', '[::1]'])(
    'answer nobody without a password, though they come as %s',
    async (host) => {
      for (const path of ['/', '/admin/queues', '/admin/queues/api/queues', '/admin/submitting', '/metrics']) {
        expect([path, await statusOf({ host }, path)]).toEqual([path, 401])
      }
      const url = `${apps[0]?.url}/admin/submitting/pause`
      expect((await send('POST', url, undefined, { host })).status).toBe(401)
    },
  )

  it('open with the password that was made at the first start, in every process', async () => {
    expect(password).toMatch(/^[\w-]{32}$/)
    for (const app of apps) {
      expect(await statusOf(basic(password), '/admin/queues', app)).toBe(200)
      expect(await statusOf(basic(''), '/admin/queues', app)).toBe(401)
    }
  })

  it('keep the first password when another process starts, and no password in the clear', async () => {
    const app = apps[1]?.context as AppContext
    const shown: unknown[] = []
    await bootstrapProject(app, ({ operatorPassword }) => shown.push(operatorPassword))
    expect(shown.filter((password) => password !== null)).toEqual([])
    expect(await statusOf(basic(password))).toBe(200)
    const rows = await runSql(database.url, 'SELECT * FROM operator_passwords')
    expect(rows).toHaveLength(1)
    expect(JSON.stringify(rows)).not.toContain(password)
  })

  it('open with a new password at once, and no longer with the previous password', async () => {
    const next = (await makeOperatorPassword(apps[1]?.context.database as Database, true)) ?? ''
    expect(await statusOf(basic(password))).toBe(401)
    expect(await statusOf(basic(next))).toBe(200)
    password = next
  })

  it('make an address wait that guesses, in all processes; the operator comes in from another', async () => {
    const guesser = from('203.0.113.1')
    const guesses = Array.from({ length: 60 }, (_, i) =>
      send('GET', `${apps[i % 2]?.url}/metrics`, undefined, { ...basic(`guess ${i}`, `name ${i}`), ...guesser }),
    )
    const statuses = (await Promise.all(guesses)).map(({ status }) => status)
    expect(statuses.filter((status) => status === 401)).toHaveLength(10)
    expect(statuses.filter((status) => status === 429)).toHaveLength(50)
    for (const path of ['/metrics', '/admin/submitting', '/admin/queues', '/admin/queues/api/queues', '/']) {
      for (const app of apps) {
        const reply = await send('GET', app.url + path, undefined, { ...basic(password), ...guesser })
        expect([path, reply.status, problemOf(reply).code]).toEqual([path, 429, 'too_many_guesses'])
        expect(Number(reply.headers['retry-after'])).toBeGreaterThan(30)
        expect(Number(reply.headers['retry-after'])).toBeLessThanOrEqual(60)
      }
    }
    for (const app of apps) {
      expect(await statusOf({ ...basic(password), ...from('203.0.113.2') }, '/metrics', app)).toBe(200)
      // A request without a password is not a guess.
      expect(await statusOf(guesser, '/metrics', app)).toBe(401)
    }
  })

  it('let the operator in with a browser that is known, also from an address that waits', async () => {
    const shared = from('203.0.113.9')
    const page = { ...basic(password), ...shared, accept: 'text/html,*/*' }
    const first = await send('GET', `${apps[0]?.url}/admin/queues`, undefined, page)
    const [setCookie = ''] = first.headers['set-cookie'] ?? []
    expect(setCookie).toMatch(/^reelqueue_device=[^;]+; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Strict$/)
    const cookie = setCookie.split(';')[0] ?? ''
    const guess = () => statusOf({ ...basic('wrong'), ...shared }, '/metrics')
    expect(await Promise.all(Array.from({ length: 11 }, guess))).toContain(429)
    expect(await statusOf({ ...basic(password), ...shared })).toBe(429)
    expect(await statusOf({ ...basic(password), ...shared, cookie: `${cookie.slice(0, -1)}x` })).toBe(429)
    expect(
      await statusOf({ ...basic(password), ...shared, cookie: `other=1; ${cookie}` }, '/admin/queues', apps[1]),
    ).toBe(200)
    // The cookie alone grants no access, and guesses with the cookie are counted too.
    expect(await statusOf({ ...shared, cookie })).toBe(401)
    const withCookie = () => statusOf({ ...basic('wrong'), ...from('203.0.113.10'), cookie }, '/metrics')
    expect(await Promise.all(Array.from({ length: 11 }, withCookie))).toContain(429)
    expect(await statusOf({ ...basic(password), ...from('203.0.113.10') }, '/metrics')).toBe(200)
  })

  it('make it wait longer each time, and take the right password after that', async () => {
    const guesser = from('203.0.113.3')
    const waits = async () => {
      const reply = await send('GET', `${apps[0]?.url}/metrics`, undefined, { ...basic('wrong'), ...guesser })
      return reply.status === 401 ? 0 : Number(reply.headers['retry-after'])
    }
    for (let guess = 1; guess <= 10; guess++) expect(await waits()).toBe(0)
    // Moves the stored times into the past, including times not read by the second process yet.
    const passMinutes = (minutes: number) =>
      runSql(
        database.url,
        `UPDATE login_guesses SET blocked_until = blocked_until - interval '${minutes} min' WHERE key LIKE '%203.0.113.3'`,
      )
    await passMinutes(1)
    expect(await statusOf({ ...basic(password), ...guesser }, '/metrics')).toBe(200)
    expect(await waits()).toBe(0)
    expect(await waits()).toBeGreaterThan(60)
    await passMinutes(2)
    expect(await statusOf({ ...basic(password), ...guesser }, '/metrics', apps[1])).toBe(200)
  })

  it('count the addresses of one IPv6 network together', async () => {
    const statuses: number[] = []
    for (let host = 1; host <= 11; host++)
      statuses.push(await statusOf({ ...basic('wrong'), ...from(`2001:db8:1:2::${host}`) }))
    expect(statuses).toEqual([...Array.from({ length: 10 }, () => 401), 429])
    expect(await statusOf({ ...basic(password), ...from('2001:db8:1:3::1') })).toBe(200)
  })

  it('make everybody wait who is not known when many addresses guess, and never the operator', async () => {
    const operator = { ...basic(password), ...from('203.0.113.50') }
    expect(await statusOf(operator, '/metrics')).toBe(200)
    await runSql(database.url, "UPDATE login_guesses SET wrong = 104, changed_at = now() WHERE key LIKE 'name %'")
    expect(await statusOf({ ...basic('wrong'), ...from('198.51.100.1') }, '/metrics')).toBe(401)
    const stranger = await send('GET', `${apps[0]?.url}/metrics`, undefined, {
      ...basic('wrong'),
      ...from('198.51.100.2'),
    })
    expect([stranger.status, problemOf(stranger).code]).toEqual([429, 'too_many_guesses'])
    expect(await statusOf(operator, '/metrics')).toBe(200)
    await runSql(database.url, "DELETE FROM login_guesses WHERE key LIKE 'name %'")
  })

  it('do not let a client guess on by claiming another address, unless a trusted proxy says so', async () => {
    const untrusting = await startTestApp({ databaseUrl: database.url, api: true, env: { OPERATOR_PASSWORD: '' } })
    try {
      const statuses: number[] = []
      for (let guess = 1; guess <= 11; guess++)
        statuses.push(await statusOf({ ...basic('wrong'), ...from(`192.0.2.${guess}`) }, '/metrics', untrusting))
      expect(statuses).toContain(429)
    } finally {
      await untrusting.close()
      await runSql(database.url, 'DELETE FROM login_guesses')
    }
  })

  it('forget what was guessed long ago', async () => {
    await runSql(
      database.url,
      "INSERT INTO login_guesses (key, changed_at) SELECT 'address ' || n, now() - interval '2 h' FROM generate_series(1, 500) AS n",
    )
    await statusOf({ ...basic('wrong'), ...from('198.51.100.9') })
    const rows = await runSql<{ key: string }>(database.url, 'SELECT key FROM login_guesses')
    expect(rows.map(({ key }) => key).sort()).toEqual(['address 198.51.100.9', 'name operator'])
  })

  it('refuse a change that a page of another site asks for', async () => {
    const url = `${apps[0]?.url}/admin/queues/api/queues/submit/pause`
    const reply = await send('PUT', url, undefined, { ...basic(password), origin: 'https://evil.example' })
    expect(reply.status).toBe(403)
    expect(problemOf(reply).code).toBe('cross_site')
    expect(await apps[0]?.queues.queues.submit.isPaused()).toBe(false)
  })
})
