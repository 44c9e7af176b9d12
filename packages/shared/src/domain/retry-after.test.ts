import { expect, test } from 'vitest'
import { parseRetryAfter } from './retry-after.ts'

const MAX_MS = 3_600_000

const nowMs = Date.UTC(2026, 0, 1, 12, 0, 0)

test.each([
  [null, null],
  [undefined, null],
  ['nonsense GMT', null],
  ['', null],
  ['soon', null],
  ['-5', null],
  ['1e3', null],
  ['7 apples', null],
  ['Nonsense, yes', null],
  ['0', 0],
  [' 2 ', 2_000],
  ['1.5', 1_500],
  ['999999999', MAX_MS],
  ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
  ['Thursday, 01-Jan-26 12:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ['Fri, 01 Jan 2027 12:00:00 GMT', MAX_MS],
])('%j is %j ms', (header, ms) => {
  expect(parseRetryAfter(header, nowMs, MAX_MS)).toBe(ms)
})
