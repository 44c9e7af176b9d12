import { describe, expect, it } from 'vitest'
import { type LastAttempt, nextAttemptDelayMs } from './retry-schedule.ts'

const STEPS_S = [0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]

function delay(attempt: number, rest: Partial<LastAttempt> = {}): number | null {
  return nextAttemptDelayMs({ attempt, httpStatus: 500, timedOut: false, retryAfterMs: null, random: 0.5, ...rest })
}

describe('nextAttemptDelayMs', () => {
  it('follows the ten steps, then is exhausted', () => {
    expect(STEPS_S.map((_, attempt) => delay(attempt))).toEqual(STEPS_S.map((step) => step * 1_000))
    expect(delay(10)).toBeNull()
    expect(delay(11)).toBeNull()
  })

  it.each(STEPS_S.map((step, attempt) => [attempt, step]))('spreads step %i by at most 20 %%', (attempt, step) => {
    expect(delay(attempt, { random: 0 })).toBe(step * 800)
    expect(delay(attempt, { random: 0.999_999 })).toBeCloseTo(step * 1_200, -3)
  })

  it('gives whole milliseconds', () => {
    expect(delay(1, { random: 0.123_456_789 })).toSatisfy(Number.isInteger)
  })

  it.each([
    [1_000, 300_000],
    [300_000, 300_000],
    [400_000, 400_000],
    [600_000, 600_000],
    [86_400_000, 600_000],
  ])('honours a Retry-After of %i ms between one and two times the step', (retryAfterMs, expected) => {
    expect(delay(2, { retryAfterMs, httpStatus: 503, random: 0 })).toBe(expected)
  })

  it.each([{ httpStatus: 429 }, { httpStatus: null, timedOut: true }])('waits at least 60 s after %j', (last) => {
    expect(delay(1, { ...last, random: 0 })).toBe(60_000)
    expect(delay(1, { ...last, random: 0.999 })).toBeGreaterThan(60_000)
    expect(delay(1, { ...last, retryAfterMs: 10_000 })).toBeGreaterThanOrEqual(60_000)
    expect(delay(2, { ...last, random: 0 })).toBe(240_000)
  })

  it('stays exhausted whatever the endpoint asked for', () => {
    expect(delay(10, { httpStatus: 429, retryAfterMs: 60_000 })).toBeNull()
  })
})
