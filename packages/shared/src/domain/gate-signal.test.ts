import { describe, expect, it } from 'vitest'
import { type Answered, gateSignal } from './gate-signal.ts'

const rejected = (fields: Partial<Answered>): Answered => ({
  kind: 'rejected',
  code: 'upstream_1',
  message: '',
  httpStatus: 200,
  retryAfterMs: null,
  ...fields,
})

describe('gateSignal', () => {
  it.each([
    rejected({ code: 'upstream_http_401', httpStatus: 401 }),
    rejected({ code: 'upstream_http_402', httpStatus: 402 }),
    rejected({ code: 'upstream_http_403', httpStatus: 403 }),
    rejected({ code: 'upstream_402' }),
    rejected({ message: 'Insufficient balance' }),
    rejected({ message: 'insufficient account credits, top up' }),
    rejected({ message: 'Your quota is exhausted.' }),
    rejected({ message: '账户余额不足' }),
  ])('of $code "$message" is about the account', (answer) => {
    expect(gateSignal(answer)).toMatchObject({ kind: 'account', refusal: expect.stringContaining(answer.code ?? '') })
  })

  it.each([
    [null, 2_000],
    [2_000, 2_000],
    [10_000_000, 600_000],
  ])('of a 429 with Retry-After of %s ms holds for %s ms', (retryAfterMs, forMs) => {
    expect(gateSignal(rejected({ httpStatus: 429, retryAfterMs }))).toEqual({ kind: 'hold', forMs })
    expect(gateSignal(rejected({ code: 'upstream_429', retryAfterMs }))).toEqual({ kind: 'hold', forMs })
  })

  it.each<Answered>([{ kind: 'unknown' }, rejected({ code: 'upstream_unreachable', httpStatus: null })])(
    'of $kind $code is silence',
    (answer) => {
      expect(gateSignal(answer)).toEqual({ kind: 'silence' })
    },
  )

  it.each<Answered>([
    { kind: 'accepted' },
    rejected({ code: 'upstream_1001', message: 'bad size' }),
    rejected({ httpStatus: 400, message: 'a balanced composition is not supported' }),
    rejected({ code: 'unknown_model', httpStatus: null }),
  ])('of $kind $code is an answer', (answer) => {
    expect(gateSignal(answer)).toEqual({ kind: 'answered' })
  })
})
