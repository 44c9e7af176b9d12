import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { recordAgainMs, submitBackoffMs } from './submission.ts'

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
