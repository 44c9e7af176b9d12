// The adapter's guarantees about connections, which need real sockets: certainty that nothing was sent, and the effect
// of a dead idle connection on the next create. Answers are in upstream-adapter.test.ts.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server } from 'node:net'
import { setImmediate as turn } from 'node:timers/promises'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import type { Upstream } from '@reelqueue/shared/providers/port'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { answer, PLAIN_REQUEST as request, startScriptedUpstream } from './support/scripted-upstream.ts'
import { until } from './support/wait.ts'

const apiKey = 'sk-0123456789abcdef'
const accepted = answer(200, { id: 'sora_abc123', object: 'video.generation', status: 'queued' })

let server: Awaited<ReturnType<typeof startScriptedUpstream>>
let upstream: Upstream

beforeAll(async () => {
  server = await startScriptedUpstream()
})
afterAll(() => server.stop())
beforeEach(() => {
  upstream = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 5_000 })
})
afterEach(() => upstream.close())

async function listening(hostile: Server): Promise<number> {
  hostile.listen(0, '127.0.0.1')
  await once(hostile, 'listening')
  return (hostile.address() as AddressInfo).port
}

describe('nothing was sent, so a create may be retried', () => {
  const unreachable = { kind: 'rejected', code: 'upstream_unreachable', retryable: true, httpStatus: null }
  const submitTo = async (baseUrl: string, timeoutMs = 5_000) => {
    const lost = createGlobalAi({ baseUrl, apiKey, timeoutMs })
    const outcome = await lost.submit(request)
    const polled = await lost.poll('a')
    await lost.close()
    expect(polled).toMatchObject({ kind: 'unavailable', code: 'upstream_unreachable' })
    return outcome
  }

  test('refused connection', async () => {
    const gone = createServer()
    const port = await listening(gone)
    gone.close()
    await once(gone, 'close')
    expect(await submitTo(`http://127.0.0.1:${port}`)).toMatchObject(unreachable)
  })

  test('a name that does not resolve', async () => {
    expect(await submitTo('http://upstream.invalid')).toMatchObject(unreachable)
  })

  test('a peer that does not speak TLS', async () => {
    server.play(accepted)
    expect(await submitTo(`https://127.0.0.1:${server.port}`)).toMatchObject(unreachable)
    expect(server.received).toHaveLength(0)
  })

  test('a reset in the middle of the TLS handshake', async () => {
    const hostile = createServer((socket) => socket.once('data', () => socket.resetAndDestroy()))
    const port = await listening(hostile)
    expect(await submitTo(`https://127.0.0.1:${port}`)).toMatchObject(unreachable)
    hostile.close()
  })

  test('a TLS handshake that never ends, within the total timeout', async () => {
    const hostile = createServer((socket) => socket.on('error', () => socket.destroy()))
    const port = await listening(hostile)
    const startedMs = performance.now()
    const lost = createGlobalAi({ baseUrl: `https://127.0.0.1:${port}`, apiKey, timeoutMs: 200 })
    expect(await lost.submit(request)).toMatchObject(unreachable)
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    hostile.close()
  })

  test('an adapter that was closed', async () => {
    const closed = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 5_000 })
    await closed.close()
    server.play(accepted)
    expect(await closed.submit(request)).toMatchObject(unreachable)
    expect(server.received).toHaveLength(0)
  })
})

describe('connections that went stale', () => {
  /** Submits, and returns when the connection is idle and ready for reuse. */
  async function submitAndIdle() {
    await upstream.submit(request)
    await turn()
    await turn()
    const last = server.received.at(-1)
    return last === undefined ? expect.unreachable() : last.socket
  }

  test('the server closed the idle connection: the next create goes out once, on a fresh one', async () => {
    server.play(accepted)
    const socket = await submitAndIdle()
    socket.end()
    await once(socket, 'close')
    expect(await upstream.submit(request)).toMatchObject({ kind: 'accepted', taskId: 'sora_abc123' })
    expect(server.received).toHaveLength(2)
    expect(server.received[1]?.socket === socket).toBe(false)
  })

  test('the close is on its way when the next create starts: it still goes out once', async () => {
    server.play(accepted)
    const socket = await submitAndIdle()
    // In the same tick: the client has not read the end of the connection yet.
    socket.destroy()
    expect(await upstream.submit(request)).toMatchObject({ kind: 'accepted', taskId: 'sora_abc123' })
    expect(server.received).toHaveLength(2)
  })

  test('a reset is on its way when the next create starts: sent once, or certainly not at all', async () => {
    server.play(accepted)
    const socket = await submitAndIdle()
    socket.resetAndDestroy()
    const outcome = await upstream.submit(request)
    expect(outcome.kind).not.toBe('unknown')
    expect(server.received).toHaveLength(outcome.kind === 'accepted' ? 2 : 1)
  })

  test('an idle create connection is given up within a second, whatever the server offers', async () => {
    server.play(answer(200, { id: 'a' }, { 'keep-alive': 'timeout=600' }))
    const socket = await submitAndIdle()
    const idleSinceMs = performance.now()
    await once(socket, 'close', { signal: AbortSignal.timeout(4_000) })
    expect(performance.now() - idleSinceMs).toBeLessThan(2_000)
  })

  test('creates in quick succession share a connection; creates at once do not queue behind each other', async () => {
    server.play(accepted)
    const socket = await submitAndIdle()
    expect((await submitAndIdle()) === socket).toBe(true)

    const waiting: (() => void)[] = []
    server.play((response, one) => waiting.push(() => accepted(response, one)))
    const outcomes = Promise.all(Array.from({ length: 5 }, () => upstream.submit(request)))
    await until('five creates are in flight at once', () => waiting.length === 5)
    for (const release of waiting) release()
    expect((await outcomes).every(({ kind }) => kind === 'accepted')).toBe(true)
  })
})
