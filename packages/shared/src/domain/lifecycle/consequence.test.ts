import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Consequence,
  consequenceOf,
  type Settlement,
  type SubmissionContext,
  UNKNOWN_SUBMISSIONS_MAX,
} from './consequence.ts'

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
