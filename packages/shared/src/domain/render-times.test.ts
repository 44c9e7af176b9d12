import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  BUCKETS,
  bucketOf,
  edgeMs,
  NO_RENDER_TIMES,
  quantileMs,
  type RenderTimes,
  slowMs,
  weightOf,
  withRender,
} from './render-times.ts'

const ms = fc.integer({ min: 0, max: 100_000_000 })

/** The times after this many clips, each seen unfinished at `afterMs` and finished at `byMs`. */
function after(clips: number, afterMs: number, byMs: number, times: RenderTimes = NO_RENDER_TIMES): RenderTimes {
  let now = times
  for (let clip = 0; clip < clips; clip++) now = withRender(now, afterMs, byMs)
  return now
}
const heaviest = (times: RenderTimes) => times.indexOf(Math.max(...times))

describe('the buckets', () => {
  it('hold every length, each in the bucket whose edges are around it', () => {
    fc.assert(
      fc.property(ms, (length) => {
        const bucket = bucketOf(length)
        expect(bucket).toBeGreaterThanOrEqual(0)
        expect(bucket).toBeLessThan(BUCKETS)
        if (length < 1_000 || length >= edgeMs(BUCKETS)) return
        expect(edgeMs(bucket)).toBeLessThanOrEqual(length * 1.000001)
        expect(edgeMs(bucket + 1)).toBeGreaterThan(length * 0.999999)
      }),
    )
  })
})

describe('render times', () => {
  it('take each clip with the weight of one, wherever it ended, and never lose more than a fiftieth for it', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(ms, ms), { maxLength: 30 }), (clips) => {
        let times = NO_RENDER_TIMES
        for (const [one, other] of clips) {
          const before = weightOf(times)
          times = withRender(times, Math.min(one, other), Math.max(one, other))
          expect(weightOf(times)).toBeCloseTo(before * 0.98 + 1, 6)
        }
      }),
    )
  })

  it('do not take the moments of the polls for those of the ends', () => {
    // Most clips are seen to end at 100 s. Clips that are only seen finished at 120 s are assumed to have ended at 100
    // s too.
    const exact = after(20, 99_000, 100_000)
    const coarse = after(20, 60_000, 120_000, exact)
    expect(edgeMs(heaviest(coarse))).toBeGreaterThan(95_000)
    expect(edgeMs(heaviest(coarse))).toBeLessThan(101_000)
  })

  it('have a new habit for the usual one within a hundred clips', () => {
    const slow = after(1_000, 199_000, 200_000)
    const quick = after(100, 59_000, 60_000, slow)
    expect(edgeMs(heaviest(quick))).toBeLessThan(61_000)
    const share = quick.slice(bucketOf(150_000)).reduce((sum, weight) => sum + weight, 0) / weightOf(quick)
    expect(share).toBeLessThan(0.15)
  })

  it('follow exploration polls, whose clips count for several, to times without other polls', () => {
    const slow = after(1_000, 199_000, 200_000)
    let times = slow
    for (let clip = 0; clip < 100; clip++) {
      times = clip % 10 === 0 ? withRender(times, 0, 120_000, 5) : withRender(times, 0, 203_000)
    }
    expect(quantileMs(times, 0.4)).toBeLessThan(125_000)
    expect(weightOf(times)).toBeCloseTo(50, 0)
  })
})

describe('a quantile', () => {
  const even = Array.from({ length: 100 }, (_, clip) => 100_000 + clip * 1_000).reduce(
    (times, endMs) => withRender(times, endMs - 500, endMs),
    NO_RENDER_TIMES,
  )

  it('is when such a share of the clips is done, of all or of those that take longer', () => {
    for (const share of [0.1, 0.5, 0.9]) {
      const within = quantileMs(even, share) ?? Number.NaN
      const before = even.slice(0, bucketOf(within * 0.999) + 1).reduce((sum, weight) => sum + weight, 0)
      expect(before / weightOf(even)).toBeGreaterThanOrEqual(share)
      expect(quantileMs(even, share, 150_000)).toBeGreaterThan(Math.max(within, 150_000) * 0.999)
    }
    expect(quantileMs(even, 0.5, 190_000)).toBeGreaterThan(190_000)
  })

  it('is not claimed of nothing, nor beyond everything', () => {
    expect(quantileMs(NO_RENDER_TIMES, 0.5)).toBeNull()
    expect(quantileMs(even, 0.5, 300_000)).toBeNull()
  })

  it('of 99 in 100 says what is slow, once enough clips are known', () => {
    expect(slowMs(after(15, 99_000, 100_000))).toBeNull()
    const slow = slowMs(even) ?? Number.NaN
    expect(slow).toBeGreaterThan(195_000)
    expect(slow).toBeLessThan(210_000)
  })
})
