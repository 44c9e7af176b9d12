import type { SendErrorClass, SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import { describe, expect, it } from 'vitest'
import { decisionOf, healthOf } from '../delivering/outcome.ts'

const DELIVERED: SendOutcome = {
  kind: 'delivered',
  httpStatus: 204,
  errorClass: null,
  message: 'delivered',
  replySnippet: null,
  durationMs: 3,
  retryAfterMs: null,
  final: false,
}

function failed(errorClass: SendErrorClass, rest: Partial<SendOutcome> = {}): SendOutcome {
  return { ...DELIVERED, kind: 'failed', httpStatus: null, errorClass, message: 'no', ...rest }
}

describe('conductOf', () => {
  it.each([
    [{ ...DELIVERED, durationMs: 250 }, 'quick'],
    [{ ...DELIVERED, durationMs: 251 }, 'answered'],
    [{ ...DELIVERED, durationMs: 2_001 }, 'slow'],
    // Quick refusals do not raise the limit of parallel deliveries.
    [failed('http_status', { httpStatus: 503 }), 'answered'],
    [failed('timeout'), 'silent'],
    [failed('refused_address'), 'unknown'],
  ])('of %o is %s', (outcome, health) => {
    expect(healthOf(outcome)).toBe(health)
  })
})

describe('verdictOf', () => {
  it('ends with success at any attempt', () => {
    for (const attempt of [1, 5, 10, 100]) expect(decisionOf(DELIVERED, attempt, 0.5)).toEqual({ state: 'succeeded' })
  })

  it.each([
    failed('http_status', { httpStatus: 500 }),
    failed('http_status', { httpStatus: 404 }),
    failed('connect'),
    failed('reset'),
    failed('dns'),
    failed('redirect', { httpStatus: 302 }),
  ])('tries again after $errorClass ($httpStatus), on the schedule', (outcome) => {
    expect(decisionOf(outcome, 1, 0.5)).toEqual({ state: 'pending', retryMs: 5_000 })
    expect(decisionOf(outcome, 2, 0.5)).toEqual({ state: 'pending', retryMs: 300_000 })
  })

  it('gives an overloaded endpoint at least a minute', () => {
    expect(decisionOf(failed('timeout'), 1, 0)).toEqual({ state: 'pending', retryMs: 60_000 })
    expect(decisionOf(failed('http_status', { httpStatus: 429 }), 1, 0)).toEqual({ state: 'pending', retryMs: 60_000 })
  })

  it('passes on Retry-After within its bounds', () => {
    const outcome = failed('http_status', { httpStatus: 503, retryAfterMs: 400_000 })
    expect(decisionOf(outcome, 2, 0.5)).toEqual({ state: 'pending', retryMs: 400_000 })
  })

  it('parks the delivery when the schedule is exhausted', () => {
    const outcome = failed('http_status', { httpStatus: 500 })
    expect(decisionOf(outcome, 9, 0.5).state).toBe('pending')
    expect(decisionOf(outcome, 10, 0.5)).toEqual({ state: 'failed' })
  })

  it('stops at once when the endpoint is gone (410) or trying again cannot help', () => {
    expect(decisionOf(failed('http_status', { httpStatus: 410, retryAfterMs: 1_000 }), 1, 0.5)).toEqual({
      state: 'failed',
    })
    expect(decisionOf(failed('refused_address', { final: true }), 1, 0.5)).toEqual({ state: 'failed' })
  })
})
