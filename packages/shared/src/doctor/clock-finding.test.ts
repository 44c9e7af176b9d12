import { expect, test } from 'vitest'
import { type ClockSample, clockDifferenceMs, clockFinding } from './clock-finding.ts'

/** A sample from a machine whose clock is `aheadMs` ahead, with these times for the way there and the way back. */
function sample(aheadMs: number, thereMs: number, backMs: number, databaseMs = 1_800_000_000_000): ClockSample {
  const atDatabase = databaseMs + aheadMs
  return { askedAtMs: atDatabase - thereMs, databaseMs, answeredAtMs: atDatabase + backMs }
}

test('half of the round trip is the way there', () => {
  expect(clockDifferenceMs([sample(0, 400, 400)])).toBe(0)
  expect(clockDifferenceMs([sample(5_000, 400, 400)])).toBe(5_000)
  expect(clockDifferenceMs([sample(-5_000, 20, 20)])).toBe(-5_000)
})

test('the quickest of several answers counts: one that was held up says little', () => {
  expect(clockDifferenceMs([sample(10, 1, 9_000), sample(10, 2, 2), sample(10, 5_000, 1)])).toBe(10)
})

test('an error is never larger than half of the quickest round trip', () => {
  expect(Math.abs(clockDifferenceMs([sample(0, 0, 300), sample(0, 900, 0)]))).toBeLessThanOrEqual(150)
})

test('without an answer there is no difference', () => {
  expect(clockDifferenceMs([])).toBe(0)
})

test.each([
  [0, 'ok'],
  [-2_000, 'ok'],
  [2_000, 'ok'],
  [2_001, 'warning'],
  [-2_001, 'warning'],
  [30_000, 'warning'],
  [30_001, 'wrong'],
  [-30_001, 'wrong'],
  [-3_600_000, 'wrong'],
])('a difference of %i ms is %s', (differenceMs, level) => {
  expect(clockFinding(differenceMs)).toMatchObject({ check: 'clock', level })
})

test('says which clock is ahead, by how much, and how clocks are kept', () => {
  expect(clockFinding(45_300).detail).toContain("45.3 s ahead of the database's")
  expect(clockFinding(-45_300).detail).toContain("45.3 s behind the database's")
  expect(clockFinding(-45_300).fix).toContain('NTP')
})
