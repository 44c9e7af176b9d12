import { describe, expect, it } from 'vitest'
import { type Answered, gateSignal, silentTrialWaitMs } from './gate-signal.ts'

const rejected = (fields: Partial<Answered>): Answered => ({
  kind: 'rejected',
  class: 'request',
  code: 'upstream_1',
  message: '',
  retryAfterMs: null,
  ...fields,
})
const keyOf = (message: string) => {
  const signal = gateSignal(rejected({ message }))
  return signal.kind === 'refusal' ? signal.key : null
}

describe('gateSignal', () => {
  it.each(['account', 'configuration', 'request'] as const)(
    'of class %s is a refusal with its words',
    (refusalClass) => {
      const signal = gateSignal(rejected({ class: refusalClass, message: 'no' }))
      expect(signal).toMatchObject({ kind: 'refusal', class: refusalClass, refusal: 'upstream_1: no' })
    },
  )

  it.each([
    [null, 2_000],
    [2_000, 2_000],
    [10_000_000, 600_000],
  ])('of class rate or capacity with Retry-After of %s ms holds for %s ms', (retryAfterMs, forMs) => {
    expect(gateSignal(rejected({ class: 'rate', retryAfterMs }))).toEqual({ kind: 'hold', forMs })
    expect(gateSignal(rejected({ class: 'capacity', retryAfterMs }))).toEqual({ kind: 'hold', forMs })
  })

  it.each<Answered>([{ kind: 'unknown' }, rejected({ class: 'unreachable' })])(
    'of $kind $class is a failure',
    (answer) => {
      expect(gateSignal(answer)).toEqual({ kind: 'failure' })
    },
  )

  it.each<Answered>([{ kind: 'accepted' }, rejected({ class: 'moderation' })])(
    'of $kind $class is an answer',
    (answer) => {
      expect(gateSignal(answer)).toEqual({ kind: 'answered' })
    },
  )

  it('refusals are equal when they differ in ids, numbers and quoted values only', () => {
    expect(keyOf('Request 4711 of "x" failed at 2026-11-29')).toBe(
      keyOf('request 99 of "other words" failed at 2026-11-30'),
    )
    expect(keyOf('size is wrong')).not.toBe(keyOf('seconds are wrong'))
  })
})

describe('silentTrialWaitMs', () => {
  it('doubles up to ten minutes, and begins later where the base URL may be wrong', () => {
    const waits = (isProven: boolean) => [0, 1, 2, 3, 30].map((trials) => silentTrialWaitMs(trials, isProven))
    expect(waits(true)).toEqual([0, 2_000, 4_000, 8_000, 600_000])
    expect(waits(false)).toEqual([0, 120_000, 240_000, 480_000, 600_000])
  })
})
