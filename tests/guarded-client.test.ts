// The guarded webhook client over real sockets on loopback, which the tests exempt by CIDR.
// Refusals are asserted twice: by the outcome, and by a server that must never have seen a connection.

import { once } from 'node:events'
import net from 'node:net'
import {
  createGuardedClient,
  type GuardedClient,
  type GuardedClientOptions,
} from '@reelqueue/shared/webhooks/guarded-client'
import { newWebhookSecret, signWebhook } from '@reelqueue/shared/webhooks/sign'
import { Webhook } from 'standardwebhooks'
import { afterEach, describe, expect, it } from 'vitest'
import { closedPort, closeEndpoints, endpoint, rawEndpoint } from './support/webhook-endpoint.ts'

const LOOPBACK = ['127.0.0.0/8', '::1/128']
const MIB = 1_024 * 1_024

const clients: GuardedClient[] = []

afterEach(async () => {
  for (const created of clients.splice(0)) await created.close()
  await closeEndpoints()
})

type Request = [url: string, headers: Readonly<Record<string, string>>, body: string]

function client(options: Partial<GuardedClientOptions> = {}) {
  const created = createGuardedClient({ allowedNetworks: LOOPBACK, timeoutMs: 5_000, ...options })
  clients.push(created)
  const { close } = created
  return { post: (...request: Request) => created.post('prj_1', ...request), close }
}

describe('delivering', () => {
  it('sends exactly the signed bytes, which the standard library verifies', async () => {
    const { url, seen } = await endpoint((response) => response.writeHead(200).end('thanks'))
    const secret = newWebhookSecret()
    const body = JSON.stringify({ type: 'generation.completed', data: { prompt: 'ein Fuchs 🦊' } })
    const headers = signWebhook({ id: 'evt_1', timestamp: new Date(), body, secrets: [newWebhookSecret(), secret] })

    const outcome = await client().post(url, { 'content-type': 'application/json', ...headers }, body)

    expect(outcome).toMatchObject({ kind: 'delivered', httpStatus: 200, errorClass: null, final: false })
    expect(outcome).toMatchObject({ replySnippet: 'thanks', retryAfterMs: null })
    expect(outcome.durationMs).toBeGreaterThanOrEqual(0)
    const [request] = seen.requests
    expect(request?.url).toBe('/hook?a=b')
    const received = request?.headers as Record<string, string>
    expect(new Webhook(secret).verify(request?.body ?? '', received)).toEqual(JSON.parse(body))
    expect(() => new Webhook(newWebhookSecret()).verify(request?.body ?? '', received)).toThrow()
  })

  it.each([200, 201, 204, 299])('counts %i as delivered', async (status) => {
    const { url } = await endpoint((response) => response.writeHead(status).end())
    expect(await client().post(url, {}, '{}')).toMatchObject({ kind: 'delivered', httpStatus: status })
  })

  it.each([400, 404, 410, 429, 500, 503])('counts %i as failed, with its Retry-After', async (status) => {
    const { url } = await endpoint((response) => response.writeHead(status, { 'retry-after': '7' }).end('no'))
    const expected = { kind: 'failed', httpStatus: status, errorClass: 'http_status', final: false }
    expect(await client().post(url, {}, '{}')).toMatchObject({ ...expected, retryAfterMs: 7_000, replySnippet: 'no' })
  })

  it('reuses connections', async () => {
    const { url, seen } = await endpoint()
    const sender = client()
    for (let i = 0; i < 20; i += 1) await sender.post(url, {}, '{}')
    expect(seen.requests).toHaveLength(20)
    expect(seen.connections, 'the first may still be finishing its reply when the second is sent').toBeLessThan(3)
  })

  it('opens at most 64 connections to one origin, and still sends everything', async () => {
    const { url, seen } = await endpoint((response) => setImmediate(() => response.end()))
    const sender = client()
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => sender.post(url, {}, '{}')))
    expect(outcomes.filter(({ kind }) => kind === 'delivered')).toHaveLength(100)
    expect(seen.connections).toBeLessThanOrEqual(64)
    expect(seen.connections).toBeGreaterThan(1)
  })

  it('finishes the post under way when closed, and takes no more', async () => {
    const { url } = await endpoint()
    const sender = client()
    const outcome = sender.post(url, {}, '{}')
    await sender.close()
    expect(await outcome).toMatchObject({ kind: 'delivered' })
    await expect(sender.post(url, {}, '{}')).rejects.toThrow(/closed|destroyed/)
  })
})

describe('http', () => {
  it('where only https is allowed, goes to networks that the operator named, and nowhere else', async () => {
    const { url, port, seen } = await endpoint()
    const sender = client({ allowHttp: false, lookup: async () => [{ address: '93.184.216.34', family: 4 }] })
    expect(await sender.post(url, {}, '{}')).toMatchObject({ kind: 'delivered' })
    for (const refused of [`http://8.8.8.8:${port}/`, `http://public.example:${port}/`]) {
      const outcome = await sender.post(refused, {}, '{}')
      expect(outcome).toMatchObject({ errorClass: 'insecure_url', final: true })
      expect(outcome.message).toContain('https')
    }
    expect(seen.connections).toBe(1)
    const inside = client({ allowHttp: false, lookup: async () => [{ address: '10.0.0.1', family: 4 }] })
    expect(await inside.post('http://inside.example/', {}, '{}')).toMatchObject({ errorClass: 'refused_address' })
  })
})

describe('refusing addresses', () => {
  it.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f000001',
    '0x7f.0.0.1',
    '0177.0.0.1',
    '017700000001',
    '127.0.0.1.',
    '%31%32%37.0.0.1',
    '①②⑦.⓪.⓪.①',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::127.0.0.1]',
    '[64:ff9b::127.0.0.1]',
    '0',
    '[::]',
    'localhost',
    'LOCALHOST',
  ])('never connects to http://%s without an allowance', async (host) => {
    const { port, seen } = await endpoint()
    const outcome = await client({ allowedNetworks: [] }).post(`http://${host}:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'refused_address', httpStatus: null, final: true })
    expect(outcome.message).toMatch(/loopback|ipv4Mapped|ipv4Compatible|rfc6052|unspecified/)
    expect(seen.connections).toBe(0)
  })

  it('guards https like http', async () => {
    const { port, seen } = await endpoint()
    const outcome = await client({ allowedNetworks: [] }).post(`https://127.0.0.1:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'refused_address', final: true })
    expect(seen.connections).toBe(0)
  })

  it('settles all of many posts to a refused origin at once', async () => {
    const sender = client({ allowedNetworks: [], timeoutMs: 60_000 })
    const outcomes = await Promise.all(Array.from({ length: 60 }, () => sender.post('http://10.0.0.1/', {}, '{}')))
    expect(new Set(outcomes.map(({ errorClass }) => errorClass))).toEqual(new Set(['refused_address']))
  })

  it('connects to the very address it checked, whatever the name says a moment later', async () => {
    const { port, seen } = await endpoint((response) => response.writeHead(200, { connection: 'close' }).end())
    const answers = ['127.0.0.1', '127.0.0.2']
    let lookups = 0
    const lookup = async () => [{ address: answers[Math.min(lookups++, 1)] ?? '', family: 4 }]
    const sender = client({ allowedNetworks: ['127.0.0.1/32'], lookup })
    const url = `http://rebinding.test:${port}/`

    expect(await sender.post(url, {}, '{}')).toMatchObject({ kind: 'delivered' })
    expect(lookups).toBe(1)
    expect(seen.requests[0]?.headers.host).toBe(`rebinding.test:${port}`)

    expect(await sender.post(url, {}, '{}')).toMatchObject({ errorClass: 'refused_address', final: true })
    expect(seen.requests).toHaveLength(1)
  })

  it.each([
    [['127.0.0.1', '10.0.0.1']],
    [['10.0.0.1', '127.0.0.1']],
    [['127.0.0.1', '::ffff:10.0.0.1']],
    [['127.0.0.1', 'fd00::1']],
  ])('refuses a name of which one address is private: %j', async (addresses) => {
    const { port, seen } = await endpoint()
    const lookup = async () => addresses.map((address) => ({ address, family: net.isIP(address) }))
    const outcome = await client({ lookup }).post(`http://several.test:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'refused_address', final: true })
    expect(outcome.message).toContain('several.test')
    expect(outcome.message, 'an inside address is not told to a tenant').not.toContain('10.0.0.1')
    expect(seen.connections).toBe(0)
  })

  it('tries the next of several permitted addresses', async () => {
    const { port, seen } = await endpoint()
    const lookup = async () => ['127.0.0.9', '127.0.0.1'].map((address) => ({ address, family: 4 }))
    const outcome = await client({ lookup }).post(`http://several.test:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'delivered' })
    expect(seen.requests).toHaveLength(1)
  })

  it('looks a name up once for the connections made at the same time', async () => {
    const { port } = await endpoint()
    let lookups = 0
    const lookup = async () => {
      lookups += 1
      return [{ address: '127.0.0.1', family: 4 }]
    }
    const sender = client({ lookup })
    await Promise.all(Array.from({ length: 10 }, () => sender.post(`http://name.test:${port}/`, {}, '{}')))
    expect(lookups).toBe(1)
  })
})

describe('what an endpoint may not do', () => {
  it.each([301, 302, 303, 307, 308])('redirect (%i): it is a failure, not followed', async (status) => {
    const target = await endpoint()
    const { url } = await endpoint((response) => response.writeHead(status, { location: target.url }).end())
    const outcome = await client().post(url, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'redirect', httpStatus: status, final: false })
    expect(target.seen.connections).toBe(0)
  })

  it.each([
    [200, 'delivered', null],
    [500, 'failed', 'http_status'],
  ])('talk without end: after %i it is %s and reading stops', async (status, kind, errorClass) => {
    let sent = 0
    let closed: Promise<unknown> | undefined
    const { url } = await endpoint((response) => {
      closed = once(response, 'close')
      response.writeHead(status)
      const talk = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384, 'x'))) sent += 16_384
        sent += 16_384
      }
      response.on('drain', talk)
      talk()
    })
    const outcome = await client().post(url, {}, '{}')
    expect(outcome).toMatchObject({ kind, errorClass, httpStatus: status, replySnippet: 'x'.repeat(4_096) })
    await closed
    expect(sent, 'what socket buffers hold is all that was sent').toBeLessThan(16 * MIB)
  })

  it('put text into the database that Postgres refuses', async () => {
    const { url } = await endpoint((response) => response.end(Buffer.from([0x61, 0x00, 0xff, 0x62])))
    expect(await client().post(url, {}, '{}')).toMatchObject({ kind: 'delivered', replySnippet: 'a\uFFFD\uFFFDb' })
  })

  it('hang before its reply', async () => {
    const { url, seen } = await endpoint(() => undefined)
    const outcome = await client({ timeoutMs: 150 }).post(url, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'timeout', httpStatus: null, final: false })
    expect(outcome.durationMs).toBeGreaterThanOrEqual(149)
    expect(seen.requests).toHaveLength(1)
  })

  it('lose a reply that was there in time, though the process slept past the total time', async () => {
    const { url } = await endpoint((response) => {
      response.socket?.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok')
      const busyUntil = performance.now() + 400
      while (performance.now() < busyUntil);
    })
    expect(await client({ timeoutMs: 200 }).post(url, {}, '{}')).toMatchObject({ kind: 'delivered', httpStatus: 200 })
  })

  it('trickle its reply past the total time', async () => {
    const { url } = await endpoint((response) => {
      const trickle = setInterval(() => response.write('.'), 20)
      response.writeHead(200).on('close', () => clearInterval(trickle))
    })
    const outcome = await client({ timeoutMs: 300 }).post(url, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'timeout', httpStatus: 200 })
    expect(outcome.replySnippet).toMatch(/^\.+$/)
  })

  it('hide its bad status behind a reply that hangs', async () => {
    const { url } = await endpoint((response) => response.writeHead(503, { 'retry-after': '9' }).write('busy'))
    const outcome = await client({ timeoutMs: 150 }).post(url, {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'http_status', httpStatus: 503, retryAfterMs: 9_000 })
  })

  it('hold a post beyond its deadline by a name server that hangs; what was given up is never sent', async () => {
    const { port, seen } = await endpoint()
    let answer: (() => void) | undefined
    const lookup = () =>
      new Promise<{ address: string; family: number }[]>((resolve) => {
        answer = () => resolve([{ address: '127.0.0.1', family: 4 }])
      })
    const sender = client({ timeoutMs: 100, lookup })
    const outcome = await sender.post(`http://slow.test:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'timeout', httpStatus: null })
    expect(outcome.message).toContain('nothing was sent')
    answer?.()
    await sender.close()
    expect(seen.requests).toHaveLength(0)
  })

  it('delay another endpoint by hanging on all its connections', async () => {
    const hanging = await endpoint(() => undefined)
    const healthy = await endpoint()
    const sender = client({ timeoutMs: 1_000 })
    const stuck = Array.from({ length: 100 }, () => sender.post(hanging.url, {}, '{}'))
    expect(await sender.post(healthy.url, {}, '{}')).toMatchObject({ kind: 'delivered' })
    const outcomes = await Promise.all(stuck)
    expect(new Set(outcomes.map(({ errorClass }) => errorClass))).toEqual(new Set(['timeout']))
    expect(hanging.seen.requests.length, 'some were given up while waiting').toBeLessThan(100)
  })
})

describe('errors of the network are outcomes', () => {
  it('a refused connection, however many posts meet it', async () => {
    const url = `http://127.0.0.1:${await closedPort()}/`
    const sender = client({ timeoutMs: 60_000 })
    const outcomes = await Promise.all(Array.from({ length: 60 }, () => sender.post(url, {}, '{}')))
    for (const outcome of outcomes) expect(outcome).toMatchObject({ errorClass: 'connect', final: false })
    expect(outcomes[0]?.message).toContain('ECONNREFUSED')
  })

  it('a name that does not resolve', async () => {
    const lookup = () => Promise.reject(Object.assign(new Error('getaddrinfo'), { code: 'ENOTFOUND' }))
    const outcome = await client({ lookup }).post('http://nowhere.test/', {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'dns', message: 'nowhere.test does not resolve: ENOTFOUND' })
    expect(outcome.final).toBe(false)
  })

  it('a name without an address', async () => {
    const outcome = await client({ lookup: async () => [] }).post('http://nowhere.test/', {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'dns', final: false })
  })

  it('a connection reset before the reply', async () => {
    const outcome = await client().post(await rawEndpoint(null), {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'reset', httpStatus: null, final: false })
  })

  it('a connection broken within a 200: not a whole reply, not delivered', async () => {
    const url = await rawEndpoint('HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf')
    const outcome = await client().post(url, {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'reset', httpStatus: 200, replySnippet: 'half' })
  })

  it.each([
    ['220 mail.example ESMTP\r\n', null],
    ['HTTP/1.1 200 OK\r\nno colon\r\n\r\n', null],
    ['HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n', 200],
  ])('a peer that does not speak HTTP: %j', async (bytes, httpStatus) => {
    const outcome = await client().post(await rawEndpoint(bytes), {}, '{}')
    expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'bad_reply', httpStatus })
  })

  it('headers too large to read', async () => {
    const url = await rawEndpoint(`HTTP/1.1 200 OK\r\nx: ${'x'.repeat(100_000)}\r\n\r\n`)
    expect(await client().post(url, {}, '{}')).toMatchObject({ kind: 'failed', errorClass: 'too_large' })
  })

  it('a peer that does not speak TLS', async () => {
    const { port } = await endpoint()
    const outcome = await client().post(`https://127.0.0.1:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'tls', httpStatus: null, final: false })
  })

  it('a URL that is none, for good', async () => {
    for (const url of ['not a url', 'ftp://example.com', 'http://user:secret@example.com/']) {
      const outcome = await client().post(url, {}, '{}')
      expect(outcome).toMatchObject({ kind: 'failed', errorClass: 'invalid_url', final: true, httpStatus: null })
    }
  })

  it('a header that HTTP does not allow is the caller’s bug', async () => {
    const { url } = await endpoint()
    await expect(client().post(url, { 'x-bad': 'a\r\nb: c' }, '{}')).rejects.toThrow('header')
  })
})
