import { expect, test } from 'vitest'
import { parseRetryAfter, RETRY_AFTER_MAX_MS } from './retry-after.ts'

const nowMs = Date.UTC(2026, 0, 1, 12, 0, 0)

test.each([
  [null, null],
  ['', null],
  ['soon', null],
  ['-5', null],
  ['1e3', null],
  ['7 apples', null],
  ['Nonsense, yes', null],
  ['0', 0],
  [' 2 ', 2_000],
  ['1.5', 1_500],
  ['999999999', RETRY_AFTER_MAX_MS],
  ['Thu, 01 Jan 2026 12:00:30 GMT', 30_000],
  ['Thursday, 01-Jan-26 12:00:30 GMT', 30_000],
  ['Thu, 01 Jan 2026 11:00:00 GMT', 0],
  ['Fri, 01 Jan 2027 12:00:00 GMT', RETRY_AFTER_MAX_MS],
])('%j is %j ms', (header, ms) => {
  expect(parseRetryAfter(header, nowMs)).toBe(ms)
})
