import { describe, expect, it } from 'vitest'
import { estimateWaitMs } from './queue-estimate.ts'

describe('the estimated wait', () => {
  it('is the place in the queue over the pace of late', () => {
    expect(estimateWaitMs(0, { admitted: 60, minutes: 10 })).toBe(10_000)
    expect(estimateWaitMs(599, { admitted: 60, minutes: 10 })).toBe(100 * 60_000)
  })

  it('is not told without a pace, nor by the burst with which a backlog begins', () => {
    expect(estimateWaitMs(5, { admitted: 0, minutes: 0 })).toBeNull()
    expect(estimateWaitMs(5, { admitted: 4, minutes: 10 })).toBeNull()
    expect(estimateWaitMs(5, { admitted: 100, minutes: 0.5 })).toBeNull()
  })

  it('is not told when it is weeks away', () => {
    expect(estimateWaitMs(10_000, { admitted: 5, minutes: 15 })).toBeNull()
  })
})
