import { describe, expect, it } from 'vitest'
import { scheduleFor, scheduleForKnown } from './poll-schedule.ts'
import { BUCKETS, bucketOf, edgeMs, NO_RENDER_TIMES, withRender } from './render-times.ts'

const S = 1_000
const LIMITS = { intervalMinMs: 2 * S, intervalMaxMs: 3_600 * S }

/** The bucket probabilities when all these lengths are equally likely. */
function evenly(...lengths: readonly number[]): number[] {
  const density = Array.from({ length: BUCKETS }, () => 0)
  for (const length of lengths) density[bucketOf(length)] = (density[bucketOf(length)] ?? 0) + 1 / lengths.length
  return density
}

describe('a schedule', () => {
  it('asks once, just after the end, where all clips take the same', () => {
    const schedule = scheduleForKnown(evenly(100 * S), 5 * S, LIMITS)
    const firstMs = schedule.nextMs(0)
    expect(firstMs).toBeGreaterThanOrEqual(100 * S)
    expect(firstMs).toBeLessThan(103 * S)
    expect(schedule.expected.requests).toBeCloseTo(1)
  })

  it('asks after the first mode, and then not before the second', () => {
    const schedule = scheduleForKnown(evenly(60 * S, 300 * S), 5 * S, LIMITS)
    const firstMs = schedule.nextMs(0)
    expect(firstMs).toBeLessThan(62 * S)
    expect(firstMs + schedule.nextMs(firstMs)).toBeGreaterThanOrEqual(300 * S)
    expect(schedule.expected.requests).toBeCloseTo(1.5)
  })

  it('has a mean lag within what was asked for, and needs fewer requests the more lag is allowed', () => {
    const density = evenly(...Array.from({ length: 60 }, (_, n) => (100 + 3 * n) * S))
    const schedules = [4, 8, 16, 32].map((lag) => scheduleForKnown(density, lag * S, LIMITS).expected)
    for (const [index, { lagMs }] of schedules.entries()) expect(lagMs).toBeLessThanOrEqual(4 * S * 2 ** index)
    const requests = schedules.map((one) => one.requests)
    expect(requests).toEqual(requests.toSorted((one, other) => other - one))
    expect(requests[0]).toBeGreaterThan(2 * (requests[3] ?? 0))
  })

  it('stays within its limits at any moment, however late', () => {
    const limits = { intervalMinMs: 30 * S, intervalMaxMs: 60 * S }
    const schedule = scheduleForKnown(evenly(200 * S, 210 * S, 220 * S), 1 * S, limits)
    for (let elapsedMs = 0; elapsedMs < 20_000 * S; elapsedMs += 997) {
      const next = schedule.nextMs(elapsedMs)
      expect(next).toBeGreaterThanOrEqual(limits.intervalMinMs)
      expect(next).toBeLessThanOrEqual(limits.intervalMaxMs)
    }
  })

  it('is made for a lag that clips of the kind are worth: a share of what they take, seconds where they take minutes', () => {
    const lagOf = (renderS: number) => {
      let times = NO_RENDER_TIMES
      // Each end is known to half a percent, and the ends are spread over a fifth of the render time.
      for (let clip = 0; clip < 100; clip++) {
        const endMs = renderS * S * (0.9 + 0.002 * clip)
        times = withRender(times, endMs * 0.995, endMs)
      }
      return scheduleFor(times, { ...LIMITS, intervalMinMs: 100 })?.expected.lagMs ?? Number.NaN
    }
    expect(lagOf(20)).toBeLessThanOrEqual(0.066 * 20 * S)
    expect(lagOf(200)).toBeLessThanOrEqual(7 * S)
    expect(lagOf(200)).toBeGreaterThan(4 * S)
    expect(lagOf(1_000)).toBeLessThanOrEqual(22 * S)
    expect(lagOf(1_000)).toBeGreaterThan(10 * S)
  })

  it('is not made of too few clips; and it asks on about clips that are unlike all that were seen', () => {
    let times = NO_RENDER_TIMES
    for (let clip = 0; clip < 3; clip++) times = withRender(times, 99 * S, 100 * S)
    expect(scheduleFor(times, LIMITS)).toBeNull()
    for (let clip = 0; clip < 50; clip++) times = withRender(times, 99 * S, 100 * S)
    const schedule = scheduleFor(times, LIMITS)
    let at = 0
    let polls = 0
    while (at < edgeMs(BUCKETS) && polls < 1_000) {
      at += schedule?.nextMs(at) ?? Number.NaN
      polls++
    }
    expect(polls).toBeGreaterThan(5)
    expect(polls).toBeLessThan(300)
  })
})
