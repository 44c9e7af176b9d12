import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { firstPollMs, LATE_ASKING_ENDS_MS, latePollMs, nextPollMs, type PollLimits } from './poll-plan.ts'

const HOUR = 3_600_000
const DEFAULTS: PollLimits = { intervalMinMs: 30_000, intervalMaxMs: 60_000, deadlineMs: 2 * HOUR }

const limits = fc
  .tuple(fc.integer({ min: 10, max: 24 * HOUR }), fc.integer({ min: 10, max: 24 * HOUR }))
  .map(([one, other]) => ({
    intervalMinMs: Math.min(one, other),
    intervalMaxMs: Math.max(one, other),
    deadlineMs: 2 * HOUR,
  }))
const elapsed = fc.double({ min: 0, max: 24 * HOUR, noNaN: true })
const retryAfter = fc.option(fc.integer({ min: 0, max: 100 * HOUR }), { nil: null })

describe('nextPollMs', () => {
  it.each([
    [0, 30_000],
    [300_000, 30_000],
    [450_000, 45_000],
    [7_000_000, 60_000],
  ])('after %i ms asks again in %i ms, as the provider asks for', (elapsedMs, expected) => {
    expect(nextPollMs({ elapsedMs, failures: 0, retryAfterMs: null }, DEFAULTS)).toBe(expected)
  })

  it('keeps within the limits while the provider answers', () => {
    fc.assert(
      fc.property(limits, elapsed, (bounds, elapsedMs) => {
        const delay = nextPollMs({ elapsedMs, failures: 0, retryAfterMs: null }, bounds)
        expect(delay).toBeGreaterThanOrEqual(bounds.intervalMinMs)
        expect(delay).toBeLessThanOrEqual(bounds.intervalMaxMs)
      }),
    )
  })

  it('is whole milliseconds, backs off with each failure, and ends at four times the longest interval', () => {
    fc.assert(
      fc.property(limits, elapsed, fc.nat(10_000), (bounds, elapsedMs, failures) => {
        const delay = nextPollMs({ elapsedMs, failures, retryAfterMs: null }, bounds)
        const after = nextPollMs({ elapsedMs, failures: failures + 1, retryAfterMs: null }, bounds)
        expect(Number.isInteger(delay)).toBe(true)
        expect(after).toBeGreaterThanOrEqual(delay)
        expect(after).toBeLessThanOrEqual(4 * bounds.intervalMaxMs)
      }),
    )
  })

  it('is never sooner than Retry-After, which counts up to an hour', () => {
    fc.assert(
      fc.property(limits, elapsed, retryAfter, (bounds, elapsedMs, retryAfterMs) => {
        const without = nextPollMs({ elapsedMs, failures: 1, retryAfterMs: null }, bounds)
        const delay = nextPollMs({ elapsedMs, failures: 1, retryAfterMs }, bounds)
        expect(delay).toBe(Math.max(without, Math.min(retryAfterMs ?? 0, HOUR)))
      }),
    )
  })

  it('begins with the shortest interval', () => {
    expect(firstPollMs(DEFAULTS)).toBe(30_000)
  })
})

describe('latePollMs', () => {
  it('asks every ten minutes, and stops before the provider forgets', () => {
    fc.assert(
      fc.property(fc.double({ min: 0, max: 48 * HOUR, noNaN: true }), retryAfter, (elapsedMs, retryAfterMs) => {
        const delay = latePollMs({ elapsedMs, failures: 0, retryAfterMs })
        const wanted = Math.max(600_000, Math.min(retryAfterMs ?? 0, HOUR))
        expect(delay).toBe(elapsedMs + wanted < LATE_ASKING_ENDS_MS ? wanted : null)
      }),
    )
  })

  it('ends', () => {
    let elapsedMs = 2 * HOUR
    let polls = 0
    for (;;) {
      const delay = latePollMs({ elapsedMs, failures: polls, retryAfterMs: null })
      if (delay === null) break
      elapsedMs += delay
      polls++
    }
    expect(polls).toBeLessThanOrEqual(132)
    expect(elapsedMs).toBeLessThan(24 * HOUR)
  })
})
