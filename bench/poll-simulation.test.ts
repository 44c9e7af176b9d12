import { describe, expect, it } from 'vitest'
import { CLIPS, compare, DISTRIBUTIONS, meanOf, rendersOf, watchByPlan } from './poll-simulation.ts'

const SEEDS = [7, 8]

describe.each(Object.entries(DISTRIBUTIONS))('%s', (_, draw) => {
  it.each(SEEDS)('takes half the requests of polling every 30 s, at half of its lag (seed %i)', (seed) => {
    const { plan, 'every 30 s': fixed } = compare(rendersOf(draw, seed))
    expect(plan.requests / fixed.requests).toBeLessThanOrEqual(0.5)
    expect(plan.lagMs / fixed.lagMs).toBeLessThanOrEqual(0.5)
  })
})

it.each(SEEDS)('takes little more than whoever knows the distribution beforehand (seed %i)', (seed) => {
  const [draw] = Object.values(DISTRIBUTIONS)
  if (!draw) throw new Error('there is no distribution')
  const { plan, oracle } = compare(rendersOf(draw, seed))
  expect(plan.requests / oracle.requests).toBeLessThanOrEqual(1.5)
  expect(oracle.lagMs).toBeLessThanOrEqual(plan.lagMs * 1.05)
})

describe('within a hundred clips', () => {
  it.each([
    [180, 90, 0.1],
    [90, 180, 0.1],
    [180, 140, 0.02],
    [90, 60, 0.02],
    [180, 30, 0],
    [40, 25, 0],
  ])('it follows a provider that took %i s and takes %i s (sigma %f)', (beforeS, afterS, sigma) => {
    const change = CLIPS / 2
    const lengths = rendersOf((random, clip) => {
      const spread = 1 + sigma * (random() + random() + random() - 1.5) * 2
      return (clip < change ? beforeS : afterS) * 1_000 * spread
    }, 7)
    const watched = watchByPlan(lengths)
    const then = meanOf(watched.slice(change + 100, change + 300))
    const inTheEnd = meanOf(watched.slice(change + 500))
    expect(then.lagMs).toBeLessThanOrEqual(inTheEnd.lagMs * 1.5)
    expect(then.requests).toBeLessThanOrEqual(inTheEnd.requests * 1.5)
    expect(inTheEnd.lagMs).toBeLessThanOrEqual(8_000)
  })
})
