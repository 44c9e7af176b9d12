import { describe, expect, it } from 'vitest'
import { estimateWaitMs } from './queue-estimate.ts'

describe('the estimated wait', () => {
  it('is the queue position over the recent admission rate', () => {
    expect(estimateWaitMs(0, { admitted: 60, minutes: 10 })).toBe(10_000)
    expect(estimateWaitMs(599, { admitted: 60, minutes: 10 })).toBe(100 * 60_000)
  })

  it('is absent without an admission rate, and not taken from the burst with which a backlog begins', () => {
    expect(estimateWaitMs(5, { admitted: 0, minutes: 0 })).toBeNull()
    expect(estimateWaitMs(5, { admitted: 4, minutes: 10 })).toBeNull()
    expect(estimateWaitMs(5, { admitted: 100, minutes: 0.5 })).toBeNull()
  })

  it('is not told when it is weeks away', () => {
    expect(estimateWaitMs(10_000, { admitted: 5, minutes: 15 })).toBeNull()
  })
})
