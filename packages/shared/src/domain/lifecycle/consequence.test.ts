import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  type Consequence,
  consequenceOf,
  type OutcomeInput,
  type SubmissionContext,
  UNKNOWN_SUBMISSIONS_MAX,
} from './consequence.ts'

const OUTCOMES: readonly OutcomeInput[] = [
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
function expected(outcome: OutcomeInput, context: SubmissionContext): Consequence {
  if (context.cancelRequested) return 'cancel'
  if (outcome.state === 'accepted') return 'process'
  if (outcome.state === 'rejected' && outcome.isReleased) return 'release'
  const certain = outcome.state === 'rejected' && outcome.retryable && !context.retriesExhausted
  const asked = outcome.state === 'unknown' && context.policy === 'resubmit' && context.unknownCount <= 1
  return certain || asked ? 'submit_again' : 'fail'
}

const table = OUTCOMES.flatMap((outcome) => CONTEXTS.map((context) => ({ outcome, context })))

describe('consequenceOf', () => {
  it.each(table)('of $outcome in $context', ({ outcome, context }) => {
    expect(consequenceOf(outcome, context)).toBe(expected(outcome, context))
  })

  it('never pays again without a certain refusal or an explicit resubmit, and for unknown outcomes at most once', () => {
    const life = fc.record({
      outcomes: fc.array(fc.constantFrom(...OUTCOMES), { minLength: 1, maxLength: 30 }),
      policy: fc.constantFrom('fail' as const, 'resubmit' as const),
      cancelAfter: fc.option(fc.nat(30), { nil: null }),
    })
    fc.assert(
      fc.property(life, ({ outcomes, policy, cancelAfter }) => {
        let unknownCount = 0
        for (const [index, outcome] of outcomes.entries()) {
          if (outcome.state === 'unknown') unknownCount++
          const cancelRequested = cancelAfter !== null && index >= cancelAfter
          const consequence = consequenceOf(outcome, {
            cancelRequested,
            policy,
            unknownCount,
            retriesExhausted: false,
          })
          if (consequence !== 'submit_again') break
          expect(cancelRequested).toBe(false)
          if (outcome.state !== 'rejected') expect([outcome.state, policy]).toEqual(['unknown', 'resubmit'])
        }
        expect(unknownCount).toBeLessThanOrEqual(policy === 'fail' ? 1 : UNKNOWN_SUBMISSIONS_MAX)
      }),
      { numRuns: 1_000 },
    )
  })
})
