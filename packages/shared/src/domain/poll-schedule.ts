// When to poll a render so that its end is noticed soon, with few requests: optimal inspection by dynamic programming,
// over the histogram of its render profile. Pure.
//
// A request costs as much as `requestMs` of lag (a Lagrange multiplier, found by bisection). Backwards from the end of
// the histogram, for each moment at which the clip is known to be unfinished: the best next poll minimises the sum of
// the request, the lag of clips that finish before the poll, and the cost from there on. The result is exact for the
// histogram: no other schedule has fewer requests at the same lag.

import { BUCKETS, edgeMs, quantileMs, type RenderTimes, saysEnough, weightOf } from './render-times.ts'

export interface ScheduleLimits {
  readonly intervalMinMs: number
  readonly intervalMaxMs: number
}

export interface PollSchedule {
  /**
   * Ms from a poll at `elapsedMs` since the submission (0: the submission itself), which found the clip unfinished, to
   * the next poll.
   */
  nextMs(elapsedMs: number): number
  /** The expected result of the schedule on its own histogram: mean lag in ms, and requests for each clip. */
  readonly expected: { readonly lagMs: number; readonly requests: number }
}

/** Each clip also stands for slightly shorter and longer clips: its own bucket's share is in the middle. */
const SMOOTHING = [0.2, 0.6, 0.2] as const
/** The weight of unseen clips in each bucket, so that the tail is polled too. */
const UNSEEN = 0.00001

/** Bisection steps for the price of a request. */
const HALVINGS = 14
const PRICE_MIN_MS = 10
const PRICE_MAX_MS = 3_600_000

/** The schedule for clips of a render profile; null while too few clips are known. */
export function scheduleFor(times: RenderTimes, limits: ScheduleLimits): PollSchedule | null {
  return saysEnough(times) ? scheduleForKnown(densityOf(times), lagTargetMs(times), limits) : null
}

/**
 * The longest mean lag on the histogram, which is slightly wider than the truth. The real lag is less than half of the
 * lag of polling every 30 s.
 */
const LAG_MAX_MS = 7_000
/**
 * The mean lag as a share of the median render time: the ends of short clips are noticed sooner, and for long clips a
 * shorter lag is not worth its requests.
 */
const LAG_SHARE_MAX = 0.06
const LAG_SHARE_MIN = 0.02

function lagTargetMs(times: RenderTimes): number {
  const medianMs = quantileMs(times, 0.5) ?? 0
  return Math.max(Math.min(LAG_MAX_MS, LAG_SHARE_MAX * medianMs), LAG_SHARE_MIN * medianMs)
}

/**
 * The schedule with the fewest requests whose mean lag is at most `lagMs`, as far as the limits allow. `density`: the
 * probability of each bucket.
 */
export function scheduleForKnown(density: readonly number[], lagMs: number, limits: ScheduleLimits): PollSchedule {
  let [low, high] = [PRICE_MIN_MS, PRICE_MAX_MS]
  let best = cheapest(density, low, limits)
  for (let turn = 0; turn < HALVINGS; turn++) {
    const price = Math.sqrt(low * high)
    const schedule = cheapest(density, price, limits)
    if (schedule.expected.lagMs <= lagMs) {
      low = price
      best = schedule
    } else high = price
  }
  return best
}

/** The probability of each bucket. */
function densityOf(times: RenderTimes): number[] {
  const total = weightOf(times) + UNSEEN * BUCKETS
  return times.map((_, index) => {
    const near = SMOOTHING.reduce((sum, share, place) => sum + share * (times[index + place - 1] ?? 0), 0)
    return (near + UNSEEN) / total
  })
}

function cheapest(
  density: readonly number[],
  requestMs: number,
  { intervalMinMs, intervalMaxMs }: ScheduleLimits,
): PollSchedule {
  const at = [0, ...Array.from({ length: BUCKETS }, (_, index) => edgeMs(index + 1))]
  /** For clips done by `at[i]`: their probability, and the sum of their times weighted by probability. */
  const done = [0]
  const doneMs = [0]
  for (let index = 0; index < BUCKETS; index++) {
    const share = density[index] ?? 0
    const middle = index === 0 ? edgeMs(1) / 2 : (edgeMs(index) + edgeMs(index + 1)) / 2
    done.push((done[index] ?? 0) + share)
    doneMs.push((doneMs[index] ?? 0) + share * middle)
  }
  const value = (list: readonly number[], index: number) => list[index] ?? 0
  const total = value(done, BUCKETS)
  /**
   * From each moment on: the cost, the lag and the requests, weighted by the probability of reaching the moment; the
   * next moment.
   */
  const cost = at.map(() => 0)
  const lag = at.map(() => 0)
  const requests = at.map(() => 0)
  const next = at.map(() => BUCKETS)
  for (let from = BUCKETS - 1; from >= 0; from--) {
    const unfinished = total - value(done, from)
    let least = Number.POSITIVE_INFINITY
    for (let to = from + 1; to <= BUCKETS; to++) {
      const waitMs = value(at, to) - value(at, from)
      // The next edge may be nearer than the shortest wait, or farther than the longest wait: then the edge is the only
      // choice.
      if (waitMs < intervalMinMs && to < BUCKETS) continue
      if (waitMs > intervalMaxMs && least < Number.POSITIVE_INFINITY) break
      const late = value(at, to) * (value(done, to) - value(done, from)) - (value(doneMs, to) - value(doneMs, from))
      const sum = requestMs * unfinished + late + value(cost, to)
      // For later moments the lag alone costs more.
      if (requestMs * unfinished + late >= least) break
      if (sum >= least) continue
      least = sum
      cost[from] = sum
      lag[from] = late + value(lag, to)
      requests[from] = unfinished + value(requests, to)
      next[from] = to
    }
  }
  return {
    nextMs(elapsedMs) {
      // The last moment that is not after `elapsedMs`; the clip was unfinished then too.
      let from = 0
      while (from < BUCKETS && value(at, from + 1) <= elapsedMs) from++
      const dueMs = from < BUCKETS ? value(at, value(next, from)) : elapsedMs + intervalMaxMs
      // Rounded up, so that the poll is not just before the moment.
      return Math.ceil(Math.min(Math.max(dueMs - elapsedMs, intervalMinMs), intervalMaxMs))
    },
    expected: { lagMs: value(lag, 0) / total, requests: value(requests, 0) / total },
  }
}
