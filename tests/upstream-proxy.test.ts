// The provider behind a forward proxy: which requests use the proxy, and that a proxy failure before the tunnel counts
// as certainly not sent, so nothing is paid.

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { startConnectProxy } from './support/connect-proxy.ts'
import { type Pipeline, startPipeline } from './support/pipeline.ts'
import {
  type Act,
  answer,
  closeSilently,
  PLAIN_REQUEST as request,
  startScriptedUpstream,
} from './support/scripted-upstream.ts'
import { until } from './support/wait.ts'

const apiKey = 'sk-0123456789abcdef'
const accepted = answer(200, { id: 'sora_abc123', object: 'video.generation', status: 'queued' })
const unreachable = { kind: 'rejected', code: 'upstream_unreachable', retryable: true, httpStatus: null }

let server: Awaited<ReturnType<typeof startScriptedUpstream>>
let ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  server = await startScriptedUpstream()
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
  ends = []
})
afterAll(() => server.stop())

async function proxyThat(act?: (client: Socket, request: IncomingMessage) => void) {
  const proxy = await startConnectProxy(act)
  ends.push(() => proxy.stop())
  return proxy
}

function adapter(proxy: string | null, options: { baseUrl?: string } = {}) {
  const upstream = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 5_000, proxy, ...options })
  ends.push(() => upstream.close())
  return upstream
}

describe('through a proxy', () => {
  it('creates and polls reach the provider as they are, by a tunnel', async () => {
    const proxy = await proxyThat()
    server.play(accepted)
    const direct = adapter(null)
    await direct.submit(request)
    const [expected] = server.received
    server.play(accepted)
    const upstream = adapter(`http://me:p%40ss@${proxy.host}`)
    expect(await upstream.submit(request)).toMatchObject({ kind: 'accepted', taskId: 'sora_abc123' })
    await upstream.poll('sora_abc123')
    expect(server.received.map(({ method, url }) => `${method} ${url}`)).toEqual([
      `POST ${expected?.url}`,
      'GET /v1/result/sora_abc123',
    ])
    const [create] = server.received
    expect(create?.headers).toEqual(expected?.headers)
    expect(create?.body).toBe(expected?.body)
    const target = `CONNECT ${new URL(server.origin).host}`
    expect(proxy.asked).toEqual([target, target])
    expect(proxy.logins[0]).toBe(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
  })

  it('a user name without a password is shown to the proxy too', async () => {
    const proxy = await proxyThat()
    server.play(accepted)
    await adapter(`http://token@${proxy.host}`).submit(request)
    expect(proxy.logins).toEqual([`Basic ${Buffer.from('token:').toString('base64')}`])
  })

  it('an answer that is badly framed is read as without a proxy', async () => {
    const proxy = await proxyThat()
    const body = JSON.stringify({ id: 'sora_abc123', object: 'video.generation', status: 'queued' })
    server.play((_response, { socket }) => {
      const head = `HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\nTransfer-Encoding: chunked\r\n\r\n`
      socket.end(`${head}${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`)
    })
    expect(await adapter(`http://${proxy.host}`).submit(request)).toMatchObject({ kind: 'accepted' })
  })

  it('a provider at https is asked for at the port of https', async () => {
    const proxy = await proxyThat((client) => client.end('HTTP/1.1 403 Forbidden\r\n\r\n'))
    await adapter(`http://${proxy.host}`, { baseUrl: 'https://provider.example/api' }).submit(request)
    expect(proxy.asked).toEqual(['CONNECT provider.example:443'])
  })
})

describe('nothing was sent, and the proxy was asked once, when it', () => {
  const status = (line: string) => (client: Socket) => void client.end(`HTTP/1.1 ${line}\r\n\r\nwords of the proxy`)
  it.each<[string, string, (client: Socket) => void]>([
    ['asks for a login', 'PROXY_STATUS_407', status('407 Proxy Authentication Required')],
    ['forbids it', 'PROXY_STATUS_403', status('403 Forbidden')],
    ['does not reach the provider', 'PROXY_STATUS_502', status('502 Bad Gateway')],
    ['waits for the provider in vain', 'PROXY_STATUS_504', status('504 Gateway Timeout')],
    ['sends elsewhere', 'PROXY_STATUS_302', status('302 Found\r\nLocation: http://login.example')],
    ['closes the connection', 'PROXY_', (client) => client.end()],
    ['resets the connection', 'PROXY_', (client) => client.resetAndDestroy()],
    ['speaks something else', 'PROXY_', (client) => client.end('SSH-2.0-OpenSSH\r\n')],
  ])('%s', async (_title, cause, act) => {
    const proxy = await proxyThat(act)
    server.play(accepted)
    const upstream = adapter(`http://user:secret-word@${proxy.host}`)
    const outcome = await upstream.submit(request)
    expect(outcome).toMatchObject(unreachable)
    expect('message' in outcome && outcome.message).toContain(`through the proxy (${cause}`)
    expect(JSON.stringify(outcome)).not.toContain('secret-word')
    expect(proxy.asked).toHaveLength(1)
    expect(await upstream.poll('a')).toMatchObject({ kind: 'unavailable', code: 'upstream_unreachable' })
    expect(server.received).toHaveLength(0)
  })

  it('is not there, or has no name', async () => {
    const gone = await startConnectProxy()
    await gone.stop()
    for (const proxy of [`http://${gone.host}`, 'http://proxy.invalid:3128'])
      expect(await adapter(proxy).submit(request)).toMatchObject(unreachable)
  })

  it('does not speak TLS, or the provider behind it does not', async () => {
    const proxy = await proxyThat()
    expect(await adapter(`https://${proxy.host.replace('127.0.0.1', 'localhost')}`).submit(request)).toMatchObject(
      unreachable,
    )
    server.play(accepted)
    const baseUrl = server.origin.replace('http:', 'https:')
    expect(await adapter(`http://${proxy.host}`, { baseUrl }).submit(request)).toMatchObject(unreachable)
    expect(server.received).toHaveLength(0)
  })

  it('answers only after the request was given up: it is never sent', async () => {
    let answerNow: (onOpen: () => void) => void = () => undefined
    const proxy = await proxyThat((client, asked) => {
      answerNow = (onOpen) => proxy.openTunnel(client, asked, onOpen)
    })
    server.play(accepted)
    const upstream = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 200, proxy: `http://${proxy.host}` })
    expect(await upstream.submit(request)).toMatchObject(unreachable)
    await new Promise<void>((resolve) => answerNow(resolve))
    await upstream.close()
    expect(server.received).toHaveLength(0)
  })
})

it.each<[string, Act]>([
  ['a refusal that a proxy could have given', answer(407, 'no')],
  ['an error page', answer(502, '<html>bad gateway</html>')],
  ['silence after the request was sent', closeSilently],
])("%s of the provider itself is read as the provider's, with a proxy or without", async (_title, act) => {
  const proxy = await proxyThat()
  server.play(act)
  const direct = await adapter(null).submit(request)
  const proxied = await adapter(`http://${proxy.host}`).submit(request)
  expect(proxied.kind).toBe(direct.kind)
  expect(proxied).toMatchObject({ code: (direct as { code: string }).code })
  expect(server.received).toHaveLength(2)
})

describe('a worker with HTTP_PROXY', () => {
  let pipeline: Pipeline
  let proxy: Awaited<ReturnType<typeof startConnectProxy>>

  beforeAll(async () => {
    proxy = await startConnectProxy()
    pipeline = await startPipeline({
      backend: 'postgres',
      workers: 1,
      env: { HTTP_PROXY: `http://me:secret-word@${proxy.host}` },
    })
  })
  afterAll(async () => {
    await pipeline?.close()
    await proxy?.stop()
  })

  it('submits and polls through it, delivers webhooks past it, and logs no password of it', async () => {
    const id = await pipeline.post('', { webhook_url: pipeline.hook('/hook') })
    expect((await pipeline.ended(id)).status).toBe('completed')
    await until('the webhook came', () => pipeline.receipts().length === 1)
    const provider = new URL(pipeline.api.environment.UPSTREAM_BASE_URL ?? '').host
    expect([...new Set(proxy.asked)]).toEqual([`CONNECT ${provider}`])
    const logs = await pipeline.logs()
    expect(logs).toContain(`"proxy":"http://${proxy.host}"`)
    expect(logs).not.toContain('secret-word')
  })
})
