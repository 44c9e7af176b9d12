import { expect, test } from 'vitest'
import { readPing } from './read-ping.ts'

const of = (code: string) =>
  readPing({ kind: 'unavailable', httpStatus: null, code, message: 'words', retryAfterMs: null })

test.each([
  ['upstream_unreachable', 'silent'],
  ['upstream_timeout', 'silent'],
  ['upstream_connection_lost', 'silent'],
  ['upstream_http_401', 'refused'],
  ['upstream_http_403', 'refused'],
  ['upstream_401', 'refused'],
  ['upstream_403', 'refused'],
  ['upstream_http_500', 'unclear'],
  ['upstream_http_503', 'unclear'],
  ['upstream_unreadable', 'unclear'],
  ['upstream_answer_too_large', 'unclear'],
  ['upstream_http_404', 'answered'],
  ['upstream_http_429', 'answered'],
  ['upstream_no_status', 'answered'],
])('%s about a task that nobody made is %s', (code, kind) => {
  expect(of(code)).toEqual({ kind, code, message: 'words' })
})

test('a server that reports a task that was never created reports anything', () => {
  const states = [
    { kind: 'pending', status: 'queued', completedWithoutUrl: false },
    { kind: 'failed', code: 'c', message: 'm', cost: null },
    { kind: 'completed', videoUrl: 'https://v', actualDuration: null, cost: null },
  ] as const
  for (const state of states) expect(readPing(state)).toEqual({ kind: 'tells_of_anything', code: null, message: '' })
})
