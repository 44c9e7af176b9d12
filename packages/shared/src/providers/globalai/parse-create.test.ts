import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Reply } from '../http/reply.ts'
import { parseCreate } from './parse-create.ts'

const key = 'sk-0123456789abcdef'
const prompt = 'a red fox runs through the snow'

function reply(httpStatus: number, body: unknown, more: Partial<Reply> = {}): Reply {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return { kind: 'reply', httpStatus, retryAfterMs: null, text, headers: {}, bytes: text.length, cut: null, ...more }
}
const read = (httpStatus: number, body: unknown, more?: Partial<Reply>) =>
  parseCreate(reply(httpStatus, body, more), [key, prompt])

describe('accepted needs a task id', () => {
  test.each([
    [{ id: 'sora_abc123', object: 'video.generation', status: 'queued' }, 'sora_abc123'],
    [{ task_id: 'video_1' }, 'video_1'],
    [{ taskId: 'mcp_ff' }, 'mcp_ff'],
    [{ projectId: 'proj_1' }, 'proj_1'],
    [{ code: '0', msg: null, data: { projectId: 'proj_2' } }, 'proj_2'],
    [{ code: 0, data: { id: 42 } }, '42'],
    [{ code: 200, msg: 'success', data: { task_id: 't' } }, 't'],
    [{ id: null, data: { id: 'inner' } }, 'inner'],
    [{ id: 'failed_at_once', status: 'failed', error: 'content policy' }, 'failed_at_once'],
    ['\n {"id":1835276354123456789,"status":"queued"}', '1835276354123456789'],
    ['{"data":{"task_id": 18352763541234567890 }}', '18352763541234567890'],
  ])('%j is task %s', (body, taskId) => {
    expect(read(200, body)).toEqual({ kind: 'accepted', taskId })
    expect(read(202, body)).toEqual({ kind: 'accepted', taskId })
  })

  test.each([
    [{ code: 200, data: [{ task_id: 't1' }] }, 't1'],
    [{ request_id: 'xai-1' }, 'xai-1'],
    [
      { request_id: 'f', status_url: 'https://q/f/status', response_url: 'https://q/f', cancel_url: 'https://q/f/c' },
      'f',
    ],
    [{ request_id: 'trace', output: { task_id: 'd1', task_status: 'PENDING' } }, 'd1'],
    [{ code: 0, request_id: 'trace', data: { task_id: 'k1', task_status: 'submitted' } }, 'k1'],
    [{ task_id: 'm1', base_resp: { status_code: 0, status_msg: 'success' } }, 'm1'],
    ['{"ErrCode":0,"ErrMsg":"Success","Resp":{"video_id":318652345234523456}}', '318652345234523456'],
    ['<br />\n<b>Notice</b>:  Undefined index: {x} in <b>/var/www/a.php</b> on line <b>3</b><br />\n{"id":"p1"}', 'p1'],
    ['\uFEFF{"id":"b1"}', 'b1'],
    [')]}\',\n{"id":"g1"}', 'g1'],
    ['data: {"id":"s1"}\n\ndata: [DONE]\n\n', 's1'],
    [JSON.stringify(JSON.stringify({ id: 'q1' })), 'q1'],
    ['<!-- cached -->{"id":"c1"}<!-- 3 ms -->', 'c1'],
  ])('%j is task %s, in the shape of another API or with more around it', (body, taskId) => {
    expect(read(200, body)).toEqual({ kind: 'accepted', taskId })
  })

  test('an answer that is too large still names the task that came', () => {
    const large = JSON.stringify({ code: 0, data: { task_id: 'large', note: 'x'.repeat(2_000) } })
    expect(read(200, large.slice(0, 1_000), { cut: 'too_large' })).toEqual({ kind: 'accepted', taskId: 'large' })
    expect(read(200, large.slice(0, 25), { cut: 'too_large' })).toMatchObject({ kind: 'unknown' })
  })

  test.each([
    { request_id: 'trace', message: 'hm' },
    { request_id: 'trace', data: null },
    { code: 0, data: [{ task_id: 'a' }, { task_id: 'b' }] },
    '{"id":"a"}\n{"id":"b"}',
    '<html><script>var state = {"id":"42"}</script></html>',
    'warning {"code":0,"data":{"id":"cut","note":"',
    { error: 'upstream timed out' },
    { error: { message: 'Internal error, please try again' } },
    { status: 'queued', message: 'no id' },
    { success: true },
  ])('%j names no task for certain and refuses nothing for certain', (body) => {
    expect(read(200, body).kind).toBe('unknown')
  })

  test('an answer cut off after its JSON was complete still names its task', () => {
    expect(read(200, { id: 'x' }, { cut: 'connection_lost' })).toEqual({ kind: 'accepted', taskId: 'x' })
  })

  test.each([
    ['<html>gateway</html>', 'upstream_unreadable'],
    ['', 'upstream_unreadable'],
    ['null', 'upstream_unreadable'],
    ['"sora_1"', 'upstream_unreadable'],
    [[{ id: 'x' }], 'upstream_unreadable'],
    [{}, 'upstream_no_task_id'],
    [{ code: 0, msg: 'success', data: null }, 'upstream_no_task_id'],
    [{ code: 200, msg: 'success' }, 'upstream_no_task_id'],
    [{ id: '' }, 'upstream_no_task_id'],
    [{ id: '  ' }, 'upstream_no_task_id'],
    [{ id: 'a\nb' }, 'upstream_no_task_id'],
    [{ id: '\ud800' }, 'upstream_no_task_id'],
    [{ id: 'x'.repeat(513) }, 'upstream_no_task_id'],
    [{ id: 0 }, 'upstream_no_task_id'],
    [{ id: -1 }, 'upstream_no_task_id'],
    [{ id: 1.5 }, 'upstream_no_task_id'],
    ['{"id":1e30}', 'upstream_no_task_id'],
    [{ id: { id: 'x' } }, 'upstream_no_task_id'],
    [{ status: 'queued', error: { message: 'hm' } }, 'upstream_no_task_id'],
  ])('2xx with %j may have been charged', (body, code) => {
    expect(read(200, body)).toMatchObject({ kind: 'unknown', code, httpStatus: 200 })
  })

  test.each([
    ['timeout', 'upstream_timeout'],
    ['connection_lost', 'upstream_connection_lost'],
    ['too_large', 'upstream_answer_too_large'],
  ] as const)('2xx cut by %s may have been charged', (cut, code) => {
    expect(read(200, '{"id":"so', { cut })).toMatchObject({ kind: 'unknown', code })
  })
})

describe('rejected needs an explicit no', () => {
  test.each([
    [{ error: 'prompt is too long' }, 'upstream_refused', 'prompt is too long'],
    [{ error: { message: 'bad size' } }, 'upstream_refused', 'bad size'],
    [{ error: { code: 'invalid_size', message: 'bad size' } }, 'upstream_invalid_size', 'bad size'],
    [{ success: false, message: 'bad size' }, 'upstream_refused', 'bad size'],
    [{ status: 'failed', fail_reason: 'bad size' }, 'upstream_refused', 'bad size'],
    [{ detail: [{ loc: ['body', 'size'], msg: 'bad size', type: 'value_error' }] }, 'upstream_value_error', 'bad size'],
    [{ base_resp: { status_code: 2013, status_msg: 'bad size' } }, 'upstream_2013', 'bad size'],
  ])('HTTP 200 with %j', (body, code, message) => {
    expect(read(200, body)).toMatchObject({ kind: 'rejected', code, message, httpStatus: 200 })
  })

  test('an error envelope keeps its code and message', () => {
    expect(read(200, { code: 1001, msg: 'bad size', data: null })).toEqual({
      kind: 'rejected',
      class: 'request',
      code: 'upstream_1001',
      message: 'bad size',
      httpStatus: 200,
      retryable: false,
      retryAfterMs: null,
    })
    expect(read(200, { code: 'NO CREDIT', msg: 'x' })).toMatchObject({ code: 'upstream_NO_CREDIT' })
  })

  test('an error envelope that says too many requests may be retried', () => {
    expect(read(200, { code: '429', msg: 'slow down' }, { retryAfterMs: 5 })).toMatchObject({
      kind: 'rejected',
      retryable: true,
      retryAfterMs: 5,
    })
  })

  test('an error envelope with a task id is a contradiction, so unknown, and names the id', () => {
    const outcome = read(200, { code: 1001, msg: 'busy', data: { id: 'sora_9' } })
    expect(outcome).toMatchObject({ kind: 'unknown', code: 'upstream_contradiction' })
    expect(outcome).toHaveProperty('message', expect.stringContaining('sora_9'))
  })

  test.each([400, 401, 402, 403, 404, 405, 406, 410, 411, 413, 414, 415, 422, 431, 451])('HTTP %i', (status) => {
    const outcome = read(status, { error: { message: 'no' } }, { retryAfterMs: 7 })
    const code = status === 451 ? 'content_rejected' : `upstream_http_${status}`
    expect(outcome).toMatchObject({
      kind: 'rejected',
      code,
      message: 'no',
      httpStatus: status,
      retryable: false,
      retryAfterMs: null,
    })
  })

  test.each([425, 429])('HTTP %i may be retried, even when its body was cut off', (status) => {
    const outcome = read(status, '{"err', { retryAfterMs: 2_000, cut: 'connection_lost' })
    expect(outcome).toMatchObject({ kind: 'rejected', retryable: true, retryAfterMs: 2_000 })
  })

  test.each([301, 302, 307, 308])('a redirect (HTTP %i) is refused, not followed', (status) => {
    expect(read(status, '')).toMatchObject({ kind: 'rejected', code: `upstream_http_${status}`, retryable: false })
  })

  test.each([408, 409, 418, 499, 500, 502, 503, 504, 524, 599])('HTTP %i may have been charged', (status) => {
    expect(read(status, { id: 'x', code: 1001 })).toMatchObject({ kind: 'unknown', code: `upstream_http_${status}` })
  })
})

test.each([
  { code: 500, msg: 'Internal server error' },
  { code: '504', msg: 'upstream timed out' },
  { code: 503, msg: 'server is busy' },
])('%j may have been charged: it is the error of a server and no refusal', (body) => {
  expect(read(200, body)).toMatchObject({ kind: 'unknown', code: `upstream_${body.code}`, message: body.msg })
  // With a code of the provider's own the same words are a refusal, and a reason of the request is a refusal too.
  expect(read(200, { ...body, code: 1001 }).kind).toBe('rejected')
  expect(read(200, { ...body, msg: 'Invalid size' }).kind).toBe('rejected')
})

describe('messages', () => {
  test.each([
    [{ error: 'plain' }, 'plain'],
    [{ error: { message: 'inner' } }, 'inner'],
    [{ message: 'm' }, 'm'],
    [{ data: { msg: 'deep' } }, 'deep'],
    ['no such key', 'no such key'],
    ['<html><h1>403</h1></html>', 'The provider answered HTTP 403.'],
    [{ error: 'x'.repeat(900) }, 'x'.repeat(500)],
    [{ error: `${'x'.repeat(499)}😀` }, 'x'.repeat(499)],
    [{ error: 'a\u0000b\ud800c' }, 'ab\uFFFDc'],
    [{ error: `key ${key} for "${prompt}"` }, 'key [hidden] for "[hidden]"'],
    [{ error: `${'x'.repeat(495)}${key}` }, `${'x'.repeat(495)}[hidd`],
  ])('%j', (body, message) => {
    expect(read(403, body)).toHaveProperty('message', message)
  })
})

const isUnstorable = (value: unknown) => typeof value === 'string' && (/\p{Cs}/u.test(value) || value.includes('\0'))

describe('whatever arrives', () => {
  const ids = { id: fc.anything(), task_id: fc.anything(), taskId: fc.anything(), projectId: fc.anything() }
  const fields = { ...ids, code: fc.anything(), msg: fc.anything(), error: fc.anything() }
  const jsonText = fc
    .record({ ...fields, data: fc.record(fields, { requiredKeys: [] }) }, { requiredKeys: [] })
    .map((body) => JSON.stringify(body, (_key, value) => (typeof value === 'bigint' ? String(value) : value)))
  const text = fc.oneof(jsonText, fc.json(), fc.string({ unit: 'binary' }))
  const status = fc.oneof(fc.constant(200), fc.integer({ min: 100, max: 999 }))
  const cut = fc.constantFrom(null, 'timeout' as const, 'connection_lost' as const, 'too_large' as const)

  test('never throws, never stores what Postgres refuses, and is accepted only on 2xx with that very id', () => {
    fc.assert(
      fc.property(status, text, cut, (httpStatus, body, how) => {
        const outcome = read(httpStatus, body, { cut: how })
        expect(Object.values(outcome).some(isUnstorable)).toBe(false)
        if (outcome.kind === 'accepted') {
          expect(Math.floor(httpStatus / 100)).toBe(2)
          const top = JSON.parse(body)
          const named = [top, top.data].flatMap((x) => (x ? [x.id, x.task_id, x.taskId, x.projectId] : []))
          expect(named.map((id) => (typeof id === 'number' ? String(id) : id))).toContain(outcome.taskId)
        } else {
          expect(outcome.message.length).toBeLessThanOrEqual(500)
        }
        if (outcome.kind === 'rejected' && httpStatus < 300) expect([0, '0', 200]).not.toContain(JSON.parse(body).code)
        if (outcome.kind === 'rejected' && httpStatus >= 500) expect.unreachable()
      }),
      { numRuns: 1_000 },
    )
  })

  test('no beginning of an accepted answer is read as anything but unknown', () => {
    const whole = JSON.stringify({ code: 0, data: { id: 'sora_1', note: '}' } })
    for (let length = 0; length < whole.length; length++) {
      expect(read(200, whole.slice(0, length), { cut: 'connection_lost' }).kind).toBe('unknown')
    }
  })
})
