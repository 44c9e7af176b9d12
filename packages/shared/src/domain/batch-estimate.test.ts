import { describe, expect, it } from 'vitest'
import { createProfileCounter, estimateBatch } from './batch-estimate.ts'

const clip = { model: 'a', seconds: 8, size: null }
const long = { model: 'a', seconds: 20, size: null }
const stats = [
  { ...clip, renderMs: 60_000, amount: 0.8 },
  { ...long, renderMs: 120_000, amount: 2 },
]
const input = {
  profiles: [{ ...clip, count: 100 }],
  open: 100,
  waiting: 0,
  isHeld: false,
  slots: 10,
  rate: { admitted: 0, minutes: 0 },
}

describe('the estimate of a batch', () => {
  it('is the time of a render when all of it is under way', () => {
    expect(estimateBatch(input, stats)).toEqual({ endsInMs: 60_000, amount: 80 })
  })

  it('is by the slots before there is an admission rate, and by the rate afterwards', () => {
    expect(estimateBatch({ ...input, waiting: 100 }, stats).endsInMs).toBe(10 * 60_000)
    const rate = { admitted: 20, minutes: 10 }
    expect(estimateBatch({ ...input, waiting: 100, rate }, stats).endsInMs).toBe(50 * 60_000 + 60_000)
  })

  it('weighs the kinds by how many there are, and costs only what has not ended', () => {
    const profiles = [
      { ...clip, count: 75 },
      { ...long, count: 25 },
    ]
    expect(estimateBatch({ ...input, profiles, open: 50 }, stats)).toEqual({ endsInMs: 75_000, amount: 55 })
  })

  it('says nothing of what it does not know', () => {
    const profiles = [...input.profiles, { model: 'b', seconds: null, size: null, count: 1 }]
    expect(estimateBatch({ ...input, profiles }, stats)).toEqual({ endsInMs: null, amount: null })
    expect(estimateBatch({ ...input, waiting: 1, isHeld: true }, stats).endsInMs).toBeNull()
    // Months away: the estimate uses the admission rate, not all slots.
    const rate = { admitted: 5, minutes: 15 }
    expect(estimateBatch({ ...input, waiting: 50_000, rate }, stats).endsInMs).toBeNull()
    expect(estimateBatch(input, [{ ...clip, renderMs: 1, amount: null }]).amount).toBeNull()
    expect(estimateBatch({ ...input, profiles: [] }, stats)).toEqual({ endsInMs: null, amount: null })
  })
})

it('kinds are counted by all that they ask for', () => {
  const counter = createProfileCounter()
  for (const one of [clip, long, clip, { ...clip, size: '1280x720' }]) counter.add(one)
  expect(counter.profiles()).toEqual([
    { ...clip, count: 2 },
    { ...long, count: 1 },
    { ...clip, size: '1280x720', count: 1 },
  ])
})
