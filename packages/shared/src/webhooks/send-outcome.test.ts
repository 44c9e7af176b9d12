import { describe, expect, it } from 'vitest'
import { classifyError } from './send-outcome.ts'

function coded(code: string, message = 'it broke'): Error {
  return Object.assign(new Error(message), { code })
}

const connecting = { sending: false, secure: true }
const sending = { sending: true, secure: true }

describe('classifyError', () => {
  it.each([
    ['ECONNREFUSED', connecting, 'connect'],
    ['EHOSTUNREACH', connecting, 'connect'],
    ['ETIMEDOUT', connecting, 'timeout'],
    ['UND_ERR_CONNECT_TIMEOUT', connecting, 'timeout'],
    ['ECONNRESET', connecting, 'reset'],
    ['CERT_HAS_EXPIRED', connecting, 'tls'],
    ['DEPTH_ZERO_SELF_SIGNED_CERT', connecting, 'tls'],
    ['ERR_TLS_CERT_ALTNAME_INVALID', connecting, 'tls'],
    ['EPROTO', connecting, 'tls'],
    ['ESOMETHING', { sending: false, secure: false }, 'connect'],
    ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', sending, 'tls'],
    ['ECONNRESET', sending, 'reset'],
    ['EPIPE', sending, 'reset'],
    ['UND_ERR_SOCKET', sending, 'reset'],
    ['UND_ERR_HEADERS_OVERFLOW', sending, 'too_large'],
  ])('sorts %s %j as %s', (code, stage, errorClass) => {
    expect(classifyError(coded(code), stage)).toEqual({ errorClass, message: 'it broke' })
  })

  it('tells what happened to each of several addresses', () => {
    const error = Object.assign(new AggregateError([new Error('first'), new Error('second')]), { code: 'ECONNREFUSED' })
    expect(classifyError(error, connecting)).toEqual({ errorClass: 'connect', message: 'Error: first; Error: second' })
  })

  it('keeps messages short and storable', () => {
    const { message } = classifyError(coded('CERT', `\0${'x'.repeat(10_000)}`), connecting)
    expect(message).toHaveLength(510)
    expect(message).not.toContain('\0')
  })
})
