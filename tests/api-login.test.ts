// Who may come in. Programs show a key at each request; operators log in, or without a password come from this very
// machine. The queue dashboard is asked for on both backends, because it reads them by different ways.
import { addApiKey, ensureProject, listApiKeys, newApiKey, revokeApiKey } from '@reelqueue/shared/store/projects'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { clientOf, countRows, MINIMAL, problemOf, send } from './support/api.ts'
import { createDatabase, type TestDatabase } from './support/database.ts'
import { startHouse, type TestHouse } from './support/house.ts'
import { startRedis, type TestRedis } from './support/redis.ts'

const PASSWORD = 'operator-password'
const VIEWER = 'viewer-password'
const basic = (password: string, user = 'anyone') => ({
  authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
})

describe('an API key', () => {
  let database: TestDatabase
  let house: TestHouse
  let before: Awaited<ReturnType<typeof countRows>>

  beforeAll(async () => {
    database = await createDatabase()
    house = await startHouse({ databaseUrl: database.url, api: true })
  })

  beforeEach(async () => {
    before = await countRows(database.url)
  })

  afterAll(async () => {
    await house?.close()
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
    const project = await ensureProject(house.database, 'default', '')
    const key = newApiKey()
    await addApiKey(house.database, project.id, 'to be revoked', key)
    expect((await clientOf(house.url, key).get('/v1/generations')).status).toBe(200)
    const id = (await listApiKeys(house.database)).find((stored) => stored.name === 'to be revoked')?.id
    expect(await revokeApiKey(house.database, id ?? '')).toBe(true)
    return key
  }

  it.each(ROUTES)('is needed for %s %s, whatever the body', async (method, path) => {
    const body = method === 'POST' ? '{"broken' : undefined
    for (const authorization of [
      undefined,
      'Bearer',
      'Bearer rq_unknown',
      `Basic ${house.key}`,
      `Bearer ${house.key}x`,
    ]) {
      const reply = await send(method, house.url + path, body, {
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
    const reply = await clientOf(house.url, await revokedKey()).post('/v1/generations', MINIMAL)
    expect(reply.status).toBe(401)
    expect(problemOf(reply).code).toBe('unauthorized')
    expect(await countRows(database.url)).toEqual(before)
  })

  it('is refused from the moment it is revoked, also by a request that is repeated by its idempotency key', async () => {
    const project = await ensureProject(house.database, 'default', '')
    const key = newApiKey()
    await addApiKey(house.database, project.id, 'to be revoked too', key)
    const client = clientOf(house.url, key)
    const again = { 'idempotency-key': 'of a key that dies' }
    expect((await client.post('/v1/generations', MINIMAL, again)).status).toBe(202)
    const rows = await countRows(database.url)
    const id = (await listApiKeys(house.database)).find((stored) => stored.name === 'to be revoked too')?.id
    expect(await revokeApiKey(house.database, id ?? '')).toBe(true)
    for (const headers of [again, {}]) {
      const reply = await client.post('/v1/generations', MINIMAL, headers)
      expect([reply.status, problemOf(reply).code]).toEqual([401, 'unauthorized'])
    }
    expect(await countRows(database.url)).toEqual(rows)
    await house.database.prisma.event.deleteMany()
    await house.database.prisma.generation.deleteMany()
  })

  it('is never written to the log, nor is a prompt', async () => {
    await clientOf(house.url, house.key).post('/v1/generations', { ...MINIMAL, prompt: 'a secret wish', size: 'wrong' })
    const log = JSON.stringify(await house.logLines())
    expect(log).toContain('request.completed')
    expect(log).not.toContain(house.key)
    expect(log).not.toContain('a secret wish')
  })
})

describe.each(['postgres', 'redis'] as const)('the queue dashboard on %s', (backend) => {
  let database: TestDatabase
  let redis: TestRedis | undefined
  let house: TestHouse
  let dashboard: string

  beforeAll(async () => {
    database = await createDatabase()
    redis = backend === 'redis' ? await startRedis() : undefined
    house = await startHouse({
      databaseUrl: database.url,
      ...(redis && { redisUrl: redis.url }),
      env: { OPERATOR_PASSWORD: PASSWORD, VIEWER_PASSWORD: VIEWER },
      api: true,
    })
    dashboard = `${house.url}/admin/queues`
  })

  afterAll(async () => {
    await house?.close()
    await redis?.destroy()
    await database?.drop()
  })

  it.each([
    ['no login', {}],
    ['a wrong password', basic('wrong-password')],
    ['the password as the user name', basic('', PASSWORD)],
    ['an API key', { authorization: 'Bearer rq_test_key_of_the_project_default' }],
    ['something that is no login', { authorization: 'Basic !!!' }],
  ])('asks for a login when there is %s', async (_title, headers) => {
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
    expect(await house.queues.queues.maintain.isPaused()).toBe(false)
    expect((await send('PUT', pause, undefined, basic(PASSWORD))).status).toBe(200)
    expect(await house.queues.queues.maintain.isPaused()).toBe(true)
    const resume = await send('PUT', `${dashboard}/api/queues/maintain/resume`, undefined, basic(PASSWORD))
    expect(resume.status).toBe(200)
    expect(await house.queues.queues.maintain.isPaused()).toBe(false)
  })

  it('refuses a change that a page of another site asks for, though the browser logs in', async () => {
    const pause = `${dashboard}/api/queues/maintain/pause`
    for (const origin of ['https://evil.example', 'null', house.url.replace(/\d+$/, '1')]) {
      const reply = await send('PUT', pause, undefined, { ...basic(PASSWORD), origin })
      expect(reply.status, origin).toBe(403)
      expect(problemOf(reply).code).toBe('cross_site')
    }
    expect(await house.queues.queues.maintain.isPaused()).toBe(false)
    const same = await send('PUT', pause.replace('pause', 'resume'), undefined, {
      ...basic(PASSWORD),
      origin: house.url,
    })
    expect(same.status).toBe(200)
  })
})

describe('the operator pages without a password', () => {
  let database: TestDatabase
  let house: TestHouse
  let port: string

  beforeAll(async () => {
    database = await createDatabase()
    house = await startHouse({ databaseUrl: database.url, api: true })
    port = new URL(house.url).port
  })

  afterAll(async () => {
    await house?.close()
    await database?.drop()
  })

  it.each(['localhost', '127.0.0.1', '[::1]', '127.1.2.3', 'LOCALHOST'])(
    'answer on this machine as %s',
    async (name) => {
      const reply = await send('GET', `${house.url}/admin/queues`, undefined, { host: `${name}:${port}` })
      expect(reply.status).toBe(200)
    },
  )

  it.each([
    ['a name of another', { host: 'evil.example' }],
    ['a name that begins like ours', { host: 'localhost.evil.example' }],
    ['an address that is not loopback', { host: '192.168.0.10' }],
    ['no readable name', { host: 'a b' }],
    ['x-forwarded-for', { 'x-forwarded-for': '127.0.0.1' }],
    ['x-forwarded-host', { 'x-forwarded-host': 'localhost' }],
    ['x-forwarded-proto', { 'x-forwarded-proto': 'https' }],
    ['x-real-ip', { 'x-real-ip': '127.0.0.1' }],
    ['forwarded', { forwarded: 'for=127.0.0.1' }],
    ['via', { via: '1.1 proxy' }],
  ])('refuse a request with %s', async (_title, headers) => {
    for (const path of ['/', '/admin/queues', '/admin/queues/api/queues']) {
      const reply = await send('GET', house.url + path, undefined, headers)
      expect(reply.status, path).toBe(401)
      expect(problemOf(reply).code).toBe('operator_login_required')
    }
  })

  it('refuse a change that a page of another site asks for', async () => {
    const reply = await send('PUT', `${house.url}/admin/queues/api/queues/submit/pause`, undefined, {
      origin: 'https://evil.example',
    })
    expect(reply.status).toBe(403)
    expect(problemOf(reply).code).toBe('cross_site')
    expect(await house.queues.queues.submit.isPaused()).toBe(false)
  })
})
