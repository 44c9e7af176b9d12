// The adapter against a real server: the requests sent, and each row of "what a robust client must survive". The
// server's record is the evidence that no request was sent twice.

import type { RenderRequest } from '@reelqueue/shared/domain/render-request'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import type { Upstream } from '@reelqueue/shared/providers/port'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type Act,
  answer,
  closeSilently,
  drip,
  flood,
  hang,
  reset,
  resetMidway,
  startScriptedUpstream,
} from './support/scripted-upstream.ts'
import { until } from './support/wait.ts'

const apiKey = 'sk-0123456789abcdef'
const prompt = 'a red fox runs through the snow'
const request: RenderRequest = { model: 'openAiSora2Plus', prompt, size: null, seconds: null, inputReference: null }
const accepted = answer(200, { id: 'sora_abc123', object: 'video.generation', status: 'queued' })
const videoUrl = 'https://cdn.example.com/v.mp4?sig=1'

let server: Awaited<ReturnType<typeof startScriptedUpstream>>
let upstream: Upstream

beforeAll(async () => {
  server = await startScriptedUpstream()
})
afterAll(() => server.stop())
beforeEach(() => {
  upstream = createGlobalAi({ baseUrl: `${server.origin}/base/v1/`, apiKey, timeoutMs: 5_000 })
})
afterEach(() => upstream.close())

/** Submits once with a short total timeout. */
async function submitHastily(act: Act) {
  const hasty = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 300 })
  server.play(act)
  const outcome = await hasty.submit(request)
  await hasty.close()
  return outcome
}

describe('what is sent', () => {
  test("a create carries the provider's own field names, the key, and nothing that is absent", async () => {
    server.play(accepted)
    await upstream.submit(request)
    const [create] = server.received
    expect(create).toMatchObject({ method: 'POST', url: '/base/v1/sora/videos' })
    expect(create?.headers).toMatchObject({
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      'accept-encoding': 'identity',
    })
    expect(JSON.parse(create?.body ?? '')).toEqual({ model: 'openAiSora2Plus', prompt })

    const inputReference = ['https://images.example.com/1.png']
    await upstream.submit({ ...request, model: 'openAiSora2Pro', size: '1280x720', seconds: 8, inputReference })
    expect(JSON.parse(server.received[1]?.body ?? '')).toEqual({
      model: 'openAiSora2Pro',
      prompt,
      size: '1280x720',
      seconds: 8,
      input_reference: inputReference,
    })
  })

  test.each([
    ['sora_abc', 'sora_abc'],
    ['a/b?c#d e%2F', 'a%2Fb%3Fc%23d%20e%252F'],
    ['视频', '%E8%A7%86%E9%A2%91'],
    ['..', '..'],
    ['\ud800', '%EF%BF%BD'],
  ])('the task id %j is one path segment', async (taskId, segment) => {
    server.play(answer(200, { status: 'processing' }))
    expect((await upstream.poll(taskId)).kind).toBe('pending')
    expect(server.received[0]).toMatchObject({ method: 'GET', url: `/base/v1/result/${segment}`, body: '' })
    expect(server.received[0]?.headers.authorization).toBe(`Bearer ${apiKey}`)
  })

  test('a model that is not in the table is refused without a request', async () => {
    server.play(accepted)
    const outcome = await upstream.submit({ ...request, model: 'constructor' })
    expect(outcome).toMatchObject({ kind: 'rejected', code: 'unknown_model', retryable: false })
    expect(server.received).toHaveLength(0)
  })

  test.each(['', 'two words', 'line\nbreak'])('the key %j is refused at once, unquoted', (bad) => {
    expect(() => createGlobalAi({ baseUrl: server.origin, apiKey: bad, timeoutMs: 1 })).toThrow(/printable ASCII/)
  })
})

describe('what a robust client must survive: creates', () => {
  test.each([
    ['id', { id: 'a' }],
    ['task_id', { task_id: 'a' }],
    ['taskId', { taskId: 'a' }],
    ['data.projectId', { code: '0', msg: null, data: { projectId: 'a' } }],
    ['a task that failed at once', { id: 'a', status: 'failed', error: 'upstream returned no task id' }],
  ])('an id under %s is accepted', async (_where, body) => {
    server.play(answer(200, body))
    expect(await upstream.submit(request)).toMatchObject({ kind: 'accepted', taskId: 'a' })
  })

  test.each([1001, '1001'])('HTTP 200 with error code %j is rejected with its code and message', async (code) => {
    server.play(answer(200, { code, msg: 'bad size', data: null }))
    const outcome = await upstream.submit(request)
    expect(outcome).toMatchObject({ kind: 'rejected', code: 'upstream_1001', message: 'bad size', retryable: false })
  })

  const unknowns: [string, Act, string][] = [
    ['HTML', answer(200, '<html>hello</html>'), 'upstream_unreadable'],
    ['an empty body', answer(201, ''), 'upstream_unreadable'],
    ['no content', answer(204, ''), 'upstream_unreadable'],
    ['garbage', answer(200, '\u0000\u0001not json'), 'upstream_unreadable'],
    ['JSON without an id', answer(200, { object: 'video' }), 'upstream_no_task_id'],
    ['HTTP 500', answer(500, 'oops'), 'upstream_http_500'],
    ['HTTP 502', answer(502, '<html>'), 'upstream_http_502'],
    ['HTTP 504', answer(504, { id: 'a' }), 'upstream_http_504'],
    ['HTTP 408', answer(408, ''), 'upstream_http_408'],
    ['HTTP 409', answer(409, ''), 'upstream_http_409'],
    ['a reset after the body', reset, 'upstream_connection_lost'],
    ['a close without an answer', closeSilently, 'upstream_connection_lost'],
    ['half an answer, then a reset', resetMidway(200, '{"id":"so'), 'upstream_connection_lost'],
    ['an answer beyond 1 MiB', flood(200, 1_100_000), 'upstream_answer_too_large'],
    ['an answer that is not HTTP', (_response, { socket }) => socket.end('hello\r\n\r\n'), 'upstream_connection_lost'],
  ]
  test.each(unknowns)('%s: outcome unknown, sent exactly once', async (_what, act, code) => {
    server.play(act)
    expect(await upstream.submit(request)).toMatchObject({ kind: 'unknown', code })
    expect(server.received).toHaveLength(1)
  })

  const slow: [string, Act][] = [
    ['silence', hang],
    ['a slow drip', drip(200)],
  ]
  test.each(slow)('%s after the body was sent: outcome unknown after one total timeout', async (_what, act) => {
    const startedMs = performance.now()
    expect(await submitHastily(act)).toMatchObject({ kind: 'unknown', code: 'upstream_timeout' })
    expect(performance.now() - startedMs).toBeLessThan(3_000)
    expect(server.received).toHaveLength(1)
    // The abandoned connection does not stay open.
    await until('the abandoned connection is closed', () => server.received.every(({ socket }) => socket.destroyed))
  })

  test('a complete answer before the connection breaks still names its task', async () => {
    server.play(resetMidway(200, '{"id":"sora_1"}'))
    expect(await upstream.submit(request)).toMatchObject({ kind: 'accepted', taskId: 'sora_1' })
  })

  test.each([
    ['7', 7_000],
    [undefined, null],
  ])('HTTP 429 with Retry-After %s may be retried', async (retryAfter, retryAfterMs) => {
    server.play(answer(429, { error: { message: 'slow down' } }, retryAfter ? { 'retry-after': retryAfter } : {}))
    expect(await upstream.submit(request)).toMatchObject({
      kind: 'rejected',
      class: 'rate',
      code: 'upstream_http_429',
      message: 'slow down',
      httpStatus: 429,
      retryable: true,
      retryAfterMs,
    })
  })

  test('HTTP 429 is a refusal even when its body never ends', async () => {
    expect(await submitHastily(drip(429))).toMatchObject({ kind: 'rejected', httpStatus: 429, retryable: true })
  })

  test('an explicit refusal is final, and no message repeats the key or the prompt', async () => {
    server.play(answer(401, { error: { message: `Incorrect key ${apiKey} for ${prompt}` } }))
    const outcome = await upstream.submit(request)
    expect(outcome).toMatchObject({ kind: 'rejected', code: 'upstream_http_401', retryable: false })
    expect(JSON.stringify(outcome)).not.toContain(apiKey)
    expect(JSON.stringify(outcome)).not.toContain(prompt)
  })

  test.each([301, 302, 307, 308])('a redirect (HTTP %i) is not followed', async (status) => {
    server.play(answer(status, '', { location: `${server.origin}/elsewhere` }), accepted)
    expect(await upstream.submit(request)).toMatchObject({ kind: 'rejected', retryable: false, httpStatus: status })
    expect(server.received).toHaveLength(1)
  })
})

describe('what a robust client must survive: polls', () => {
  const poll = async (act: Act) => {
    server.play(act)
    return await upstream.poll('sora_abc123')
  }

  test.each(['queued', 'PROCESSING', 'running', 'generating', 'in_progress', 'pending', 'submitted', 'waiting', 'odd'])(
    'status %s is still running',
    async (status) => {
      expect(await poll(answer(200, { id: 'a', status, video_url: null }))).toMatchObject({ kind: 'pending' })
    },
  )

  test.each([
    ['completed', 'video_url'],
    ['SUCCEEDED', 'videoUrl'],
    ['success', 'result_url'],
    ['done', 'content_url'],
    ['Completed', 'url'],
  ])('status %s with a link under %s is completed, on top or in data', async (status, name) => {
    const task = { status, [name]: videoUrl, actualDuration: 5.04, amount: '0.30', totalTokens: 1200 }
    const cost = { amount: 0.3, totalTokens: 1200 }
    const completed = { kind: 'completed', videoUrl, actualDuration: 5.04, cost, linkLifeMs: 24 * 3_600_000 }
    expect(await poll(answer(200, task))).toEqual(completed)
    expect(await poll(answer(200, { code: 0, data: task }))).toEqual(completed)
  })

  test.each([
    ['failed', 'upstream_failed'],
    ['error', 'upstream_failed'],
    ['failure', 'upstream_failed'],
    ['canceled', 'upstream_cancelled'],
    ['expired', 'upstream_expired'],
  ])('status %s is failed with code %s', async (status, code) => {
    const failed = { kind: 'failed', code, message: 'policy', cost: null }
    expect(await poll(answer(200, { status, error: 'policy' }))).toEqual(failed)
    expect(await poll(answer(200, { status, error: { message: 'policy' } }))).toEqual(failed)
  })

  test('completed without a link is asked again', async () => {
    const answered = await poll(answer(200, { status: 'completed', video_url: null }))
    expect(answered).toEqual({ kind: 'pending', status: 'completed', completedWithoutUrl: true })
  })

  const unavailable: [string, Act, string][] = [
    ['HTTP 404', answer(404, { status: 'failed' }), 'upstream_http_404'],
    ['HTTP 500', answer(500, ''), 'upstream_http_500'],
    ['HTTP 429', answer(429, ''), 'upstream_http_429'],
    ['a redirect', answer(302, '', { location: '/elsewhere' }), 'upstream_http_302'],
    ['HTML', answer(200, '<html>'), 'upstream_unreadable'],
    ['an empty body', answer(200, ''), 'upstream_unreadable'],
    ['an error envelope', answer(200, { code: 1001, msg: 'busy' }), 'upstream_1001'],
    ['a reset', reset, 'upstream_connection_lost'],
    ['a close', closeSilently, 'upstream_connection_lost'],
    ['half an answer', resetMidway(200, '{"status":"failed"'), 'upstream_unreadable'],
    ['a flood', flood(200, 1_100_000), 'upstream_unreadable'],
  ]
  test.each(unavailable)('%s says nothing about the task', async (_what, act, code) => {
    expect(await poll(act)).toMatchObject({ kind: 'unavailable', code })
    expect(server.received).toHaveLength(1)
  })

  test('a poll that gets no answer ends after the total timeout', async () => {
    const hasty = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 200 })
    server.play(hang)
    expect(await hasty.poll('a')).toMatchObject({ kind: 'unavailable', code: 'upstream_timeout' })
    server.play(drip(200))
    expect(await hasty.poll('a')).toMatchObject({ kind: 'unavailable', code: 'upstream_timeout' })
    await hasty.close()
  })

  test('a poll that gets no answer ends after 15 s, where a create may take ten minutes', {
    timeout: 60_000,
  }, async () => {
    const patient = createGlobalAi({ baseUrl: server.origin, apiKey, timeoutMs: 600_000 })
    server.play(hang)
    expect(await patient.poll('a')).toMatchObject({ kind: 'unavailable', code: 'upstream_timeout' })
    await patient.close()
  })

  test('Retry-After is honoured as seconds and as a date', async () => {
    expect(await poll(answer(503, '', { 'retry-after': '90' }))).toMatchObject({ retryAfterMs: 90_000 })
    const date = new Date(Date.now() + 60_000).toUTCString()
    const answered = await poll(answer(429, '', { 'retry-after': date }))
    expect(answered).toHaveProperty('retryAfterMs', expect.any(Number))
    if (answered.kind !== 'unavailable') expect.unreachable()
    expect(answered.retryAfterMs).toBeGreaterThan(30_000)
    expect(answered.retryAfterMs).toBeLessThanOrEqual(60_000)
  })
})
