import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Consequence,
  consequenceOf,
  recordAgainMs,
  type Settlement,
  type SubmissionContext,
  submitBackoffMs,
  UNKNOWN_SUBMISSIONS_MAX,
} from './submission.ts'

const SETTLEMENTS: readonly Settlement[] = [
  { state: 'accepted' },
  { state: 'rejected', retryable: true, isReleased: false },
  { state: 'rejected', retryable: false, isReleased: false },
  { state: 'rejected', retryable: true, isReleased: true },
  { state: 'rejected', retryable: false, isReleased: true },
  { state: 'unknown' },
]
const CONTEXTS: readonly SubmissionContext[] = [true, false].flatMap((cancelRequested) =>
  (['fail', 'resubmit'] as const).flatMap((policy) =>
    [0, 1, 2, 3].flatMap((unknownCount) =>
      [true, false].map((retriesExhausted) => ({ cancelRequested, policy, unknownCount, retriesExhausted })),
    ),
  ),
)

/** The rules in the order in which a person would state them, independent of the code's order. */
function expected(settlement: Settlement, context: SubmissionContext): Consequence {
  if (context.cancelRequested) return 'cancel'
  if (settlement.state === 'accepted') return 'process'
  if (settlement.state === 'rejected' && settlement.isReleased) return 'release'
  const certain = settlement.state === 'rejected' && settlement.retryable && !context.retriesExhausted
  const asked = settlement.state === 'unknown' && context.policy === 'resubmit' && context.unknownCount <= 1
  return certain || asked ? 'submit_again' : 'fail'
}

const table = SETTLEMENTS.flatMap((settlement) => CONTEXTS.map((context) => ({ settlement, context })))

describe('consequenceOf', () => {
  it.each(table)('of $settlement in $context', ({ settlement, context }) => {
    expect(consequenceOf(settlement, context)).toBe(expected(settlement, context))
  })

  it('never pays again without a certain refusal or an explicit resubmit, and for unknown outcomes at most once', () => {
    const life = fc.record({
      settlements: fc.array(fc.constantFrom(...SETTLEMENTS), { minLength: 1, maxLength: 30 }),
      policy: fc.constantFrom('fail' as const, 'resubmit' as const),
      cancelAfter: fc.option(fc.nat(30), { nil: null }),
    })
    fc.assert(
      fc.property(life, ({ settlements, policy, cancelAfter }) => {
        let unknownCount = 0
        for (const [index, settlement] of settlements.entries()) {
          if (settlement.state === 'unknown') unknownCount++
          const cancelRequested = cancelAfter !== null && index >= cancelAfter
          const consequence = consequenceOf(settlement, {
            cancelRequested,
            policy,
            unknownCount,
            retriesExhausted: false,
          })
          if (consequence !== 'submit_again') break
          expect(cancelRequested).toBe(false)
          if (settlement.state !== 'rejected') expect([settlement.state, policy]).toEqual(['unknown', 'resubmit'])
        }
        expect(unknownCount).toBeLessThanOrEqual(policy === 'fail' ? 1 : UNKNOWN_SUBMISSIONS_MAX)
      }),
      { numRuns: 1_000 },
    )
  })
})

describe('submitBackoffMs', () => {
  const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  const retryAfter = fc.option(fc.integer({ min: 0, max: 10_000_000 }), { nil: null })

  it('doubles from 1 s to 60 s', () => {
    expect([1, 2, 3, 4, 5, 6, 7, 8, 1_000].map((count) => submitBackoffMs(count, null, 0.5))).toEqual([
      1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000,
    ])
  })

  it('is whole milliseconds from 0.8 s to 72 s without Retry-After, and to 10 minutes with it', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 100_000 }), retryAfter, random, (count, retryAfterMs, jitter) => {
        const backoff = submitBackoffMs(count, retryAfterMs, jitter)
        expect(Number.isInteger(backoff)).toBe(true)
        expect(backoff).toBeGreaterThanOrEqual(Math.max(800, Math.min(retryAfterMs ?? 0, 600_000)))
        expect(backoff).toBeLessThanOrEqual(retryAfterMs === null ? 72_000 : 600_000)
      }),
    )
  })
})

describe('recording an outcome that Postgres would not take', () => {
  it.each(['accepted', 'unsent'] as const)('never gives up what is %s, however long it takes', (state) => {
    for (const tries of [1, 12, 13, 1_000, 1_000_000]) expect(recordAgainMs(state, tries)).toBeGreaterThan(0)
  })

  it.each(['rejected', 'unknown'] as const)('gives up an outcome that is %s after a while', (state) => {
    expect(recordAgainMs(state, 11)).not.toBeNull()
    expect(recordAgainMs(state, 12)).toBeNull()
  })

  it('waits longer each time, up to ten seconds; what only this process knows, up to one', () => {
    expect([1, 2, 3, 4, 5, 6, 11].map((tries) => recordAgainMs('unknown', tries))).toEqual([
      500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000,
    ])
    for (const state of ['accepted', 'unsent'] as const)
      expect([1, 2, 3, 99].map((tries) => recordAgainMs(state, tries))).toEqual([500, 1_000, 1_000, 1_000])
  })
})
