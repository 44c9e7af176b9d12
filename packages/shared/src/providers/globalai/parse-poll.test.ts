import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Reply } from '../http/reply.ts'
import { parsePoll } from './parse-poll.ts'

const key = 'sk-0123456789abcdef'
const url = 'https://cdn.example.com/v.mp4?sig=a%2Fb'

function read(httpStatus: number, body: unknown, more: Partial<Reply> = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  const reply: Reply = {
    kind: 'reply',
    httpStatus,
    retryAfterMs: null,
    text,
    headers: {},
    bytes: 0,
    cut: null,
    ...more,
  }
  return parsePoll(reply, [key])
}

describe('status words', () => {
  test.each([
    ...['queued', 'processing', 'running', 'generating', 'in_progress', 'pending', 'submitted', 'waiting'],
    ...['In-Progress', ' QUEUED ', 'rendering stage 2', 'finalising', 'constructor'],
  ])('%s is still running', (status) => {
    const answer = read(200, { id: 'x', status, video_url: null })
    expect(answer).toMatchObject({ kind: 'pending', completedWithoutUrl: false })
  })

  test.each(['completed', 'Completed', 'SUCCEEDED', 'success', ' done\n'])('%s with a link is completed', (status) => {
    const answer = read(200, { status, video_url: url, actualDuration: 5.04 })
    expect(answer).toEqual({ kind: 'completed', videoUrl: url, actualDuration: 5.04, cost: null })
  })

  test.each([
    ['failed', 'upstream_failed'],
    ['ERROR', 'upstream_failed'],
    ['failure', 'upstream_failed'],
    ['canceled', 'upstream_cancelled'],
    ['Cancelled', 'upstream_cancelled'],
    ['expired', 'upstream_expired'],
  ])('%s is failed, with code %s, whatever link it carries', (status, code) => {
    expect(read(200, { status, error: 'why', video_url: url })).toEqual({
      kind: 'failed',
      code,
      message: 'why',
      cost: null,
    })
  })

  test.each([{}, { status: '' }, { status: 500, error: 'x' }, { status: null }, { video_url: url }, { data: [] }])(
    '%j says nothing about the task',
    (body) => {
      expect(read(200, body)).toMatchObject({ kind: 'unavailable', code: 'upstream_no_status' })
    },
  )

  test("the task's status in data outranks the envelope's", () => {
    const inner = (status: string, data: object) => read(200, { status, data }).kind
    expect(inner('success', { status: 'processing', url })).toBe('pending')
    expect(inner('success', { status: 'failed' })).toBe('failed')
    expect(inner('ok', { status: 'completed', url })).toBe('completed')
    expect(inner('error', { status: 'queued' })).toBe('pending')
  })

  test.each([
    ['processing', 'completed'],
    ['failed', 'completed'],
    ['queued', 'failed'],
  ])('%s outside and %s inside end nothing', (status, within) => {
    const answer = read(200, { status, data: { status: within, video_url: url } })
    expect(answer).toMatchObject({ kind: 'unavailable', code: 'upstream_contradiction' })
  })
})

describe('links', () => {
  test.each(['video_url', 'videoUrl', 'result_url', 'content_url', 'url'])('%s, on top or in data', (name) => {
    expect(read(200, { status: 'completed', [name]: url })).toMatchObject({ kind: 'completed', videoUrl: url })
    const wrapped = { code: '0', data: { status: 'completed', [name]: url } }
    expect(read(200, wrapped)).toMatchObject({ kind: 'completed', videoUrl: url })
  })

  test.each([
    undefined,
    null,
    '',
    'not a url',
    'ftp://h/v.mp4',
    'javascript:alert(1)',
    '/v.mp4',
    'http://',
    7,
    [url],
    `https://h/${'x'.repeat(4_096)}`,
  ])('completed with %j as its link is asked again', (link) => {
    const answer = read(200, { status: 'completed', video_url: link })
    expect(answer).toEqual({ kind: 'pending', status: 'completed', completedWithoutUrl: true })
  })

  test.each([
    { status: 'succeeded', output: [url] },
    { status: 'succeeded', output: url },
    { status: 'completed', output: { url } },
    { status: 'completed', video: { url } },
    { status: 'succeeded', content: { video_url: url } },
    { code: 0, message: 'SUCCEED', data: { task_status: 'succeed', task_result: { videos: [{ id: '1', url }] } } },
    { output: { task_status: 'SUCCEEDED', video_url: url } },
    { status: 'completed', videos: [{ url }] },
    { status: 'completed', generations: [{ url }] },
    { status: 'completed', result: { url } },
    { state: 'success', creations: [{ id: 'c', url }] },
    { state: 'completed', assets: { video: url } },
    { code: 200, data: [{ status: 'completed', url }] },
  ])('%j has the link of another API', (body) => {
    expect(read(200, body)).toMatchObject({ kind: 'completed', videoUrl: url })
  })

  test('a link that is signed for an hour, or an answer that says so, names its end', () => {
    const inAnHour = Math.floor(Date.now() / 1_000) + 3_600
    const expiresAt = new Date(inAnHour * 1_000).toISOString()
    expect(read(200, { status: 'done', url: `https://h/v.mp4?Expires=${inAnHour}` })).toMatchObject({ expiresAt })
    expect(read(200, { status: 'done', url, expires_at: inAnHour })).toMatchObject({ expiresAt })
    expect(read(200, { status: 'done', url })).not.toHaveProperty('expiresAt')
  })

  test('an unusable link does not hide a usable one', () => {
    expect(read(200, { status: 'done', video_url: '', url })).toMatchObject({ videoUrl: url })
  })

  test('a link with odd characters becomes plain ASCII', () => {
    const answer = read(200, { status: 'done', url: ' https://h/视\u0000频 \ud800.mp4 ' })
    expect(answer).toMatchObject({ kind: 'completed', videoUrl: expect.stringMatching(/^https:\/\/h\/[\x21-\x7e]+$/) })
  })
})

describe('reasons and costs', () => {
  test.each([
    [{ error: 'policy' }, 'policy'],
    [{ error: { message: 'inner' } }, 'inner'],
    [{ error: 'x'.repeat(3_000) }, 'x'.repeat(2_000)],
    [{ error: 'a\u0000\udc00b' }, 'a\uFFFDb'],
    [{ error: `bad ${key}` }, 'bad [hidden]'],
    [{ error: null, msg: 'why' }, 'why'],
    [{ error: null, msg: 'success' }, 'The provider reported a failure without a reason.'],
    [{ fail_reason: 'why' }, 'why'],
    [{ data: { status: 'failed', failReason: 'why' } }, 'why'],
    [{ message: 'SUCCEED', data: { task_status: 'failed', task_status_msg: 'why' } }, 'why'],
    [{ detail: [{ loc: ['prompt'], msg: 'why', type: 't' }] }, 'why'],
    [{ error_message: 'why' }, 'why'],
    [{ task_result: 'why' }, 'why'],
    [{ error: 12 }, 'The provider reported a failure without a reason.'],
  ])('failed with %j', (more, message) => {
    expect(read(200, { status: 'failed', ...more })).toHaveProperty('message', message)
  })

  test.each([
    [{ error: { code: 'content_policy_violation', message: 'no' } }, 'upstream_content_policy_violation'],
    [{ failureCode: 'SAFETY.INPUT.TEXT', failure: 'no' }, 'upstream_SAFETY.INPUT.TEXT'],
    [{ fail_reason: 'The content violates our policy' }, 'content_rejected'],
    [{ error: 'gpu fell over' }, 'upstream_failed'],
  ])('failed with %j has the code %s', (more, code) => {
    expect(read(200, { status: 'failed', ...more })).toMatchObject({ kind: 'failed', code })
  })

  test.each([
    [
      { amount: 0.3, totalTokens: '1200' },
      { amount: 0.3, totalTokens: 1200 },
    ],
    [{ data: { status: 'done', amount: '1.50' } }, { amount: 1.5, totalTokens: null }],
    [{ amount: 'free', totalTokens: 1.5 }, null],
    [{ amount: -1, totalTokens: '1e9' }, null],
  ])('the cost in %j', (more, cost) => {
    expect(read(200, { status: 'done', url, ...more })).toMatchObject({ kind: 'completed', cost })
  })

  test.each([
    ['4.9', 4.9],
    [8, 8],
    ['8s', null],
    [-1, null],
    [1e9, null],
  ])('an actual duration of %j', (actualDuration, seconds) => {
    expect(read(200, { status: 'done', url, actualDuration })).toMatchObject({ actualDuration: seconds })
  })
})

describe('no usable answer says nothing about the task', () => {
  test.each([301, 400, 401, 404, 410, 429, 500, 502, 503, 504])('HTTP %i, whatever its body claims', (status) => {
    const answer = read(status, { status: 'failed', error: 'gone' }, { retryAfterMs: 3_000 })
    expect(answer).toEqual({
      kind: 'unavailable',
      httpStatus: status,
      code: `upstream_http_${status}`,
      message: 'gone',
      retryAfterMs: 3_000,
      isUnknownTask: status === 404 || status === 410,
    })
  })

  test.each([
    [404, { code: 404, msg: 'task not found', data: null }, true],
    [404, { detail: 'Not Found' }, true],
    [410, {}, true],
    [404, '<html>404</html>', false],
    [404, '', false],
    [200, { code: 404, msg: null, data: null }, true],
    [200, { code: 1004, msg: 'task does not exist', data: null }, true],
    [200, { code: 5, msg: '任务不存在' }, true],
    [200, { code: 500, msg: 'internal error' }, false],
    [200, { code: 1001, msg: 'insufficient balance' }, false],
    [400, { error: { message: 'Invalid task id' } }, true],
    [422, { message: 'no such task' }, true],
    [400, { error: { message: 'Invalid API key' } }, false],
    [401, { message: 'task not found' }, false],
    [429, { message: 'task not found' }, false],
    [500, { message: 'task not found' }, false],
    [502, { code: 404 }, false],
  ])('HTTP %i with %j says that the task is unknown: %s', (status, body, isUnknownTask) => {
    expect(read(status, body)).toMatchObject({ kind: 'unavailable', isUnknownTask })
  })

  test.each(['', '<html>', '[]', 'null', '{"status":"completed","video_url":"https://h/a'])('%s', (text) => {
    expect(read(200, text)).toMatchObject({ kind: 'unavailable', code: 'upstream_unreadable' })
  })

  test('an error envelope, even around a terminal word', () => {
    const body = { code: 1001, msg: 'busy', data: { status: 'completed', url } }
    expect(read(200, body)).toMatchObject({ kind: 'unavailable', code: 'upstream_1001', message: 'busy' })
  })
})

const isUnstorable = (value: unknown) => typeof value === 'string' && (/\p{Cs}/u.test(value) || value.includes('\0'))

test('whatever arrives: never throws, and ends only on a terminal word, with an http(s) link for success', () => {
  const word = fc.oneof(fc.constantFrom('completed', 'done', 'failed', 'processing', 'Success'), fc.anything())
  const link = fc.oneof(fc.webUrl(), fc.string({ unit: 'binary' }), fc.anything())
  const fields = { status: word, video_url: link, url: link, code: fc.oneof(fc.constant(0), fc.anything()) }
  const more = { error: fc.anything(), amount: fc.anything(), actualDuration: fc.anything() }
  const level = fc.record({ ...fields, ...more }, { requiredKeys: [] })
  const jsonText = fc
    .tuple(level, fc.option(level))
    .map(([top, data]) => (data === null ? top : { ...top, data }))
    .map((body) => JSON.stringify(body, (_key, value) => (typeof value === 'bigint' ? String(value) : value)))
  const text = fc.oneof(jsonText, fc.json(), fc.string({ unit: 'binary' }))
  const status = fc.oneof(fc.constant(200), fc.integer({ min: 100, max: 999 }))

  fc.assert(
    fc.property(status, text, (httpStatus, body) => {
      const answer = read(httpStatus, body)
      expect(Object.values(answer).some(isUnstorable)).toBe(false)
      if (answer.kind !== 'completed' && answer.kind !== 'failed') return
      expect(Math.floor(httpStatus / 100)).toBe(2)
      const { status: outer, data } = JSON.parse(body)
      const words = [outer, data?.status].filter((x) => typeof x === 'string').map((x) => x.trim().toLowerCase())
      if (answer.kind === 'failed') {
        expect(words).toContain('failed')
      } else {
        expect(words.some((x) => ['completed', 'done', 'success'].includes(x))).toBe(true)
        expect(words).not.toContain('failed')
        expect(new URL(answer.videoUrl).protocol).toMatch(/^https?:$/)
      }
    }),
    { numRuns: 2_000 },
  )
})
