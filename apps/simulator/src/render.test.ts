import { describe, expect, it } from 'vitest'
import { seededRandom } from './random.ts'
import { drawRenderTime, medianRenderMs } from './render.ts'

function draws(seed: number, count: number) {
  const random = seededRandom(seed)
  return Array.from({ length: count }, () => drawRenderTime('openAiSora2Plus', 4, random))
}

describe('drawRenderTime', () => {
  const sorted = draws(7, 20_000)
    .map(({ totalMs }) => totalMs)
    .sort((a, b) => a - b)
  const quantile = (q: number) => sorted[Math.floor(q * sorted.length)] ?? Number.NaN

  it('has the promised median: 90 s for a 4 s clip', () => {
    expect(medianRenderMs('openAiSora2Plus', 4)).toBe(90_000)
    expect(quantile(0.5) / 90_000).toBeCloseTo(1, 1)
  })

  it('is log-normal: its quantiles are symmetric as ratios, out to the 99th', () => {
    const up = quantile(0.841) / quantile(0.5)
    const down = quantile(0.5) / quantile(0.159)
    expect(up / down).toBeCloseTo(1, 1)
    expect(up).toBeCloseTo(Math.exp(0.35), 1)
    expect(quantile(0.99) / quantile(0.5) / Math.exp(0.35 * 2.326)).toBeCloseTo(1, 1)
  })

  it('queues for a part of the time, never all of it', () => {
    for (const { queuedMs, totalMs } of draws(3, 1000)) {
      expect(queuedMs).toBeGreaterThan(0.04 * totalMs)
      expect(queuedMs).toBeLessThan(0.31 * totalMs)
    }
  })

  it('repeats itself for the same seed only', () => {
    expect(draws(42, 50)).toEqual(draws(42, 50))
    expect(draws(42, 50)).not.toEqual(draws(43, 50))
  })
})

describe('medianRenderMs', () => {
  it('grows with the length of the clip, and Pro is slower than Plus', () => {
    expect(medianRenderMs('openAiSora2Plus', 8)).toBeGreaterThan(medianRenderMs('openAiSora2Plus', 4))
    expect(medianRenderMs('openAiSora2Plus', 12)).toBeGreaterThan(medianRenderMs('openAiSora2Plus', 8))
    expect(medianRenderMs('openAiSora2Pro', 4)).toBeGreaterThan(medianRenderMs('openAiSora2Plus', 4))
  })
})
