import { describe, expect, it } from 'vitest'
import { ADDRESS_LIMIT, type GuessLimit, NAME_LIMIT } from './login-guess.ts'

const waitMs = ({ waitsMs }: GuessLimit, wrong: number) => waitsMs[Math.min(wrong, waitsMs.length) - 1]

describe('a wrong password', () => {
  it('makes an address wait from the tenth on, longer each time, and never beyond a quarter of an hour', () => {
    expect([1, 9, 10, 11, 12, 13, 14, 15, 1_000].map((wrong) => waitMs(ADDRESS_LIMIT, wrong))).toEqual([
      0, 0, 60_000, 120_000, 240_000, 480_000, 900_000, 900_000, 900_000,
    ])
  })

  it('makes everybody wait from the hundredth on, and never beyond a minute', () => {
    expect([1, 99, 100, 101, 105, 106, 1_000].map((wrong) => waitMs(NAME_LIMIT, wrong))).toEqual([
      0, 0, 1_000, 2_000, 32_000, 60_000, 60_000,
    ])
  })

  it('of one address alone never makes everybody wait', () => {
    let wrong = 0
    for (let atMs = 0; atMs < NAME_LIMIT.purgedAfterMs * 2; atMs += waitMs(ADDRESS_LIMIT, wrong) ?? 0) wrong += 1
    expect(waitMs(NAME_LIMIT, wrong)).toBe(0)
  })
})
