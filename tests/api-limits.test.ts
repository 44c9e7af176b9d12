// Limits for a project, a key or the whole installation, as seen by callers and operators.

import { EventEmitter, once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { endGently } from '@reelqueue/api/closing'
import { replyWithProblem } from '@reelqueue/api/problem-reply'
import { nameRequests, newRequestId } from '@reelqueue/api/request-id'
import { gateJson } from '@reelqueue/contract/wire/gate'
import { projectJson } from '@reelqueue/contract/wire/project'
import Fastify from 'fastify'
import { afterAll, describe, expect, it, onTestFinished } from 'vitest'
import { clientOf, clientOfNewProject, generationOf, MINIMAL, problemOf, send } from './support/api.ts'
import { createDatabase } from './support/database.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const database = await createDatabase()
const env = { QUEUED_MAX_PER_PROJECT: '20', UPSTREAM_API_KEY: 'key', UPSTREAM_MAX_IN_FLIGHT: '1' }
const app = await startTestApp({ databaseUrl: database.url, api: true, env })
const limited = await startTestApp({ databaseUrl: database.url, api: true, env: { REQUESTS_PER_MINUTE_PER_KEY: '5' } })
afterAll(async () => {
  await Promise.all([app.close(), limited.close()])
  await database.drop()
})
const readProject = (text: string) => projectJson.strict().parse(JSON.parse(text))

describe('a full backlog', () => {
  it('has no room for the retry of a batch either', async () => {
    const client = await clientOfNewProject(app, 'full of failures')
    await client.post('/v1/project/pause')
    const items = Array(15).fill(MINIMAL)
    const { id } = JSON.parse((await client.post('/v1/batches', { items })).text) as { id: string }
    await app.database.prisma.generation.updateMany({
      where: { batchId: id },
      data: { status: 'failed', finishedAt: new Date(), errorCode: 'upstream_failed', errorMessage: 'no' },
    })
    expect((await client.post('/v1/batches', { items })).status).toBe(202)
    const reply = await client.post(`/v1/batches/${id}/retry`)
    expect([reply.status, problemOf(reply).code]).toEqual([429, 'backlog_full'])
  })

  it('is answered with 429 and a time to come back; what was accepted is still found by its key', async () => {
    const client = await clientOfNewProject(app, 'full')
    await client.post('/v1/project/pause')
    const items = Array(15).fill(MINIMAL)
    expect((await client.post('/v1/batches', { items })).status).toBe(202)
    const key = { 'idempotency-key': 'k' }
    expect((await client.post('/v1/generations', MINIMAL, key)).status).toBe(202)
    const refused = await client.post('/v1/batches', { items })
    expect(refused.status).toBe(429)
    expect(refused.headers['retry-after']).toBe('60')
    expect(problemOf(refused).code).toBe('backlog_full')
    const replies = await Promise.all(Array.from({ length: 30 }, () => client.post('/v1/generations', MINIMAL)))
    expect(replies.filter((reply) => reply.status === 202).length).toBeLessThanOrEqual(4)
    expect((await client.post('/v1/generations', MINIMAL, key)).headers['idempotency-replayed']).toBe('true')
    // The limit does not affect other projects.
    expect((await (await clientOfNewProject(app, 'empty')).post('/v1/generations', MINIMAL)).status).toBe(202)
  })

  it('refuses JSON Lines too, and keeps none of them', async () => {
    const client = await clientOfNewProject(app, 'full of lines')
    const body = `${JSON.stringify(MINIMAL)}\n`.repeat(21)
    const reply = await client.post('/v1/batches', body, { 'content-type': 'application/x-ndjson' })
    expect([reply.status, problemOf(reply).code]).toEqual([429, 'backlog_full'])
    expect(JSON.parse((await client.get('/v1/batches')).text).data).toEqual([])
  })
})

it('a key that sends too many requests learns when to try again; another key is not affected', async () => {
  const client = clientOf(limited.url, limited.key)
  const replies = []
  for (let n = 0; n < 6; n++) replies.push(await client.get('/v1/project'))
  expect(replies.map((reply) => reply.status)).toEqual([200, 200, 200, 200, 200, 429])
  const last = replies[5]
  if (!last) throw new Error('no reply')
  expect(problemOf(last).code).toBe('rate_limited')
  expect(Number(last.headers['retry-after'])).toBeGreaterThan(0)
  for (const [n, { headers }] of replies.entries()) {
    expect(headers['ratelimit-policy']).toBe('"key";q=5;w=60')
    expect(headers.ratelimit).toMatch(new RegExp(`^"key";r=${Math.max(0, 4 - n)};t=([1-9]|[1-5]\\d|60)$`))
  }
  // Without a limit, replies have no limit headers.
  expect((await clientOf(app.url, app.key).get('/v1/project')).headers).not.toHaveProperty('ratelimit')
  expect((await (await clientOfNewProject(limited, 'another key')).get('/v1/project')).status).toBe(200)
  expect((await send('GET', `${limited.url}/healthz`)).status).toBe(200)
})

it('what comes while the API ends is refused like everything else: by a problem with a request id and a time to come back', async () => {
  const ending = Fastify({ return503OnClosing: false, genReqId: newRequestId })
  nameRequests(ending)
  endGently(ending)
  ending.setErrorHandler(replyWithProblem)
  const signals = new EventEmitter()
  ending.get('/slow', async () => {
    signals.emit('begun')
    await once(signals, 'released')
    return 'heard before'
  })
  ending.addHook('preClose', async () => {
    signals.emit('closing')
  })
  await ending.listen({ port: 0, host: '127.0.0.1' })
  const socket = connect((ending.server.address() as AddressInfo).port, '127.0.0.1')
  const received = text(socket)
  const begun = once(signals, 'begun')
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
  await begun
  const closing = once(signals, 'closing')
  const closed = ending.close()
  await closing
  const heard = once(ending.server, 'request')
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\nX-Request-Id: mine\r\n\r\n')
  await heard
  signals.emit('released')
  await closed
  const [first = '', second = ''] = (await received).split(/(?=HTTP\/1\.1 503)/)
  expect(first).toContain('heard before')
  expect(second).toMatch(/\r\nx-request-id: mine\r\n/i)
  expect(second).toMatch(/\r\nretry-after: 5\r\n/i)
  expect(JSON.parse(second.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'ending', request_id: 'mine' })
})

describe('a project', () => {
  it('is paused and resumed by its own key', async () => {
    const client = await clientOfNewProject(app, 'pauses')
    const paused = readProject((await client.post('/v1/project/pause')).text)
    expect(paused.paused_at).not.toBeNull()
    expect(readProject((await client.post('/v1/project/pause')).text)).toEqual(paused)
    expect((await client.post('/v1/generations', MINIMAL)).status).toBe(202)
    expect(readProject((await client.post('/v1/project/resume')).text).paused_at).toBeNull()
  })

  it('may bound what it has in flight', async () => {
    const client = await clientOfNewProject(app, 'bounded')
    expect(readProject((await client.patch('/v1/project', { max_in_flight: 3 })).text).max_in_flight).toBe(3)
    expect(readProject((await client.patch('/v1/project', { on_unknown_submission: 'fail' })).text).max_in_flight).toBe(
      3,
    )
    expect(readProject((await client.patch('/v1/project', { max_in_flight: null })).text).max_in_flight).toBeNull()
    expect(problemOf(await client.patch('/v1/project', { max_in_flight: 0 })).errors).toMatchObject([
      { field: 'max_in_flight', rule: 'minimum', allowed: 1 },
    ])
  })
})

describe('the place in the queue', () => {
  it('is that among the generations of the project, by priority and age, while it waits for a slot', async () => {
    const client = await clientOfNewProject(app, 'queues')
    await client.post('/v1/project/pause')
    const accept = async (priority = 0) =>
      generationOf(await client.post('/v1/generations', { ...MINIMAL, priority })).id
    const [first, second] = [await accept(), await accept()]
    const urgent = await accept(10)
    const place = async (id: string) => generationOf(await client.get(`/v1/generations/${id}`)).queue
    expect(await place(urgent)).toEqual({
      position: 1,
      held: true,
      held_by: ['project_paused'],
      estimated_start_at: null,
    })
    expect(await place(first)).toMatchObject({ position: 2 })
    expect(await place(second)).toMatchObject({ position: 3 })
    await client.post(`/v1/generations/${first}/cancel`)
    expect(await place(second)).toMatchObject({ position: 2 })
    expect(await place(first)).toBeUndefined()
  })

  it('names slots that are kept for late renders once all others are taken', async () => {
    const own = await createDatabase()
    const twoSlots = await startTestApp({
      databaseUrl: own.url,
      api: true,
      env: { ...env, UPSTREAM_MAX_IN_FLIGHT: '2' },
    })
    try {
      const client = clientOf(twoSlots.url, twoSlots.key)
      const accept = async () => generationOf(await client.post('/v1/generations', MINIMAL)).id
      const { generation } = twoSlots.database.prisma
      const admitted = async (id: string) => (await generation.findUniqueOrThrow({ where: { id } })).admittedAt !== null
      const [late, first] = [await accept(), await accept()]
      await until('both are admitted', async () => (await admitted(late)) && (await admitted(first)))
      const waiting = await accept()
      const queue = async () => generationOf(await client.get(`/v1/generations/${waiting}`)).queue
      expect(await queue()).toMatchObject({ held: false, held_by: [] })
      await generation.update({
        where: { id: late },
        data: {
          status: 'failed',
          finishedAt: new Date(),
          errorCode: 'submission_unknown',
          errorMessage: 'no answer',
          dueAt: null,
          slotUntil: new Date(Date.now() + 3_600_000),
        },
      })
      expect(await queue()).toMatchObject({ held: false, held_by: ['kept_slots'] })
      const { checks } = JSON.parse((await send('GET', `${twoSlots.url}/readyz`)).text)
      expect(checks.upstream).toMatchObject({ ok: true, detail: expect.stringMatching(/1 slots are kept .*1 unknown/) })
    } finally {
      await twoSlots.close()
      await own.drop()
    }
  })

  it('names what holds up all submitting, as readiness does with the reason; without a key too', async () => {
    const keyless = await startTestApp({ databaseUrl: database.url, api: true })
    const client = clientOf(app.url, app.key)
    await client.post('/v1/project/pause')
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    const heldBy = async (reader = client) => generationOf(await reader.get(`/v1/generations/${id}`)).queue
    const detail = async () => JSON.parse((await send('GET', `${app.url}/readyz`)).text).checks.upstream.detail
    const set = (what: string) => send('POST', `${app.url}/admin/submitting/${what}`, undefined, app.login)
    const both = { held: true, held_by: ['project_paused', 'submitting_held'], estimated_start_at: null }
    expect(await heldBy()).toMatchObject({ held_by: ['project_paused'] })
    expect(await heldBy(clientOf(keyless.url, app.key))).toMatchObject(both)
    await set('pause')
    expect(await heldBy()).toMatchObject(both)
    await client.post('/v1/project/resume')
    expect(await heldBy()).toMatchObject({ held: true, held_by: ['submitting_held'] })
    await client.post('/v1/project/pause')
    const soon = new Date(Date.now() + 60_000)
    onTestFinished(async () => void (await set('resume')))
    for (const [closed, words] of [
      [{ accountRefusal: 'no credits', accountRetryAt: soon }, /refused the account \("no credits"\)/],
      [{ failures: 99, unreachableSince: new Date() }, /no submission was answered as by the provider since/],
      [{ holdUntil: soon }, /asked to wait until/],
      [{ pausedAt: new Date(), pausedReason: 'a copy' }, /paused by a start.*a copy/],
    ] as const) {
      await set('resume')
      await app.database.prisma.upstreamGate.updateMany({ data: closed })
      expect(await heldBy()).toMatchObject(both)
      expect(await detail()).toMatch(words)
    }
    await client.post('/v1/project/resume')
    await keyless.close()
  })

  it('comes with a time once the project has an admission rate', async () => {
    const client = await clientOfNewProject(app, 'moves')
    await client.post('/v1/project/pause')
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    const projectId = readProject((await client.get('/v1/project')).text).id
    await app.database.prisma.admission.create({
      data: { projectId, minute: new Date(Date.now() - 10 * 60_000), count: 20 },
    })
    const queue = async () => generationOf(await client.get(`/v1/generations/${id}`)).queue
    expect(await queue()).toEqual({
      position: 1,
      held: true,
      held_by: ['project_paused'],
      estimated_start_at: null,
    })
    await app.database.prisma.project.update({ where: { id: projectId }, data: { pausedAt: null } })
    expect((await queue())?.held).toBe(false)
    const startsInMs = new Date((await queue())?.estimated_start_at ?? 0).getTime() - Date.now()
    expect(startsInMs).toBeGreaterThan(0)
    expect(startsInMs).toBeLessThan(60_000)
  })
})

it('operators pause all submitting, see why it stands, and resume it; readiness says so', async () => {
  const read = async (method: string, path: string) =>
    gateJson.strict().parse(JSON.parse((await send(method, `${app.url}${path}`, undefined, app.login)).text))
  expect(await read('GET', '/admin/submitting')).toMatchObject({ open: true, paused_at: null })
  expect(await read('POST', '/admin/submitting/pause')).toMatchObject({ open: false, paused_at: expect.any(String) })
  const readyz = async () => JSON.parse((await send('GET', `${app.url}/readyz`)).text)
  expect((await readyz()).checks.upstream).toMatchObject({
    ok: false,
    detail: expect.stringContaining('paused by an operator'),
  })
  expect(await read('POST', '/admin/submitting/resume')).toMatchObject({ open: true, paused_at: null })
  expect((await readyz()).checks.upstream).toMatchObject({ ok: true })
  const headers = { authorization: `Bearer ${app.key}` }
  expect((await send('POST', `${app.url}/admin/submitting/pause`, undefined, headers)).status).toBe(401)
})
