import { expect, it } from 'vitest'
import { pollsRefusedSince } from './refused-polls.ts'

const since = new Date('2026-01-01T00:00:00Z')

it.each([
  ['the account, of the only task', { asked: 1, refused: 1, httpStatus: 401 }, true],
  ['most tasks by the account', { asked: 10, refused: 6, httpStatus: 403 }, true],
  ['many tasks that are not known', { asked: 5, refused: 5, httpStatus: 404 }, true],
  ['one task that is not known', { asked: 1, refused: 1, httpStatus: 404 }, false],
  ['a few among many', { asked: 10, refused: 5, httpStatus: 401 }, false],
  ['none', { asked: 10, refused: 0, httpStatus: null }, false],
])('refused: %s', (_, seen, isRefused) => {
  expect(pollsRefusedSince({ ...seen, since })).toEqual(isRefused ? since : null)
})
