import { expect, test } from 'vitest'
import { networkCause, readUnansweredCreate, readUnansweredPoll } from './no-answer.ts'

const causes = ['ECONNREFUSED', 'ENOTFOUND', 'UND_ERR_CONNECT_TIMEOUT', 'CERT_HAS_EXPIRED', 'ECONNRESET', 'TIMEOUT']

test.each(causes)('%s before the first byte is certainly no payment and may be retried', (cause) => {
  const outcome = readUnansweredCreate({
    kind: 'silence',
    sent: false,
    timedOut: cause === 'TIMEOUT',
    cause,
    received: '',
  })
  expect(outcome).toMatchObject({ kind: 'rejected', code: 'upstream_unreachable', retryable: true, httpStatus: null })
})

test.each(causes)('%s after the first byte may be a payment', (cause) => {
  const outcome = readUnansweredCreate({
    kind: 'silence',
    sent: true,
    timedOut: cause === 'TIMEOUT',
    cause,
    received: '',
  })
  const code = cause === 'TIMEOUT' ? 'upstream_timeout' : 'upstream_connection_lost'
  expect(outcome).toMatchObject({ kind: 'unknown', code, httpStatus: null })
})

test.each([true, false])('silence on a poll says nothing about the task (sent: %s)', (sent) => {
  const answer = readUnansweredPoll({ kind: 'silence', sent, timedOut: false, cause: 'ECONNRESET', received: '' })
  expect(answer).toMatchObject({ kind: 'unavailable', retryAfterMs: null })
})

test('a cause is a short code and never a message', () => {
  expect(networkCause(Object.assign(new Error('secret'), { code: 'ECONNRESET' }))).toBe('ECONNRESET')
  expect(networkCause(new Error('x', { cause: Object.assign(new Error(), { code: 'EPIPE' }) }))).toBe('EPIPE')
  expect(networkCause(Object.assign(new Error(), { code: 'a secret' }))).toBe('UNKNOWN')
  expect(networkCause('secret')).toBe('UNKNOWN')
})
