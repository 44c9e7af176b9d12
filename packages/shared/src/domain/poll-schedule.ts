// When to ask about a render so that its end is noticed soon and with few requests: the schedule that costs least in expectation,
// by what clips of its kind took. Pure.
//
// A request costs as much as `requestMs` of lag. Backwards from the end of the histogram, for each moment at which the clip is
// known to be unfinished, the best next moment is the one that minimises the request, the lag of those that finish before it,
// and the cost from there on. That is exact for the histogram: no other schedule has fewer requests at the same lag.

import { BUCKETS, edgeMs, quantileMs, type RenderTimes, saysEnough, weightOf } from './render-times.ts'

export interface ScheduleLimits {
  readonly intervalMinMs: number
  readonly intervalMaxMs: number
}

export interface PollSchedule {
  /** Ms from a poll at `elapsedMs` since the submission, which found the clip unfinished (0: the submission), to the next one. */
  nextMs(elapsedMs: number): number
  /** What the schedule leads to on the clips that it was made of: mean lag in ms, and requests for each clip. */
  readonly expected: { readonly lagMs: number; readonly requests: number }
}

/** Each clip stands for those a little shorter and longer too: its bucket's share in the middle. */
const SMOOTHING = [0.2, 0.6, 0.2] as const
/** Clips that are unlike any seen before: so many in each bucket, so that the tail is asked about too. */
const UNSEEN = 0.00001

/** The price of a request is found by halving: so often. */
const HALVINGS = 14
const PRICE_MIN_MS = 10
const PRICE_MAX_MS = 3_600_000

/** The schedule for clips of a kind; null while too few are known. */
export function scheduleFor(times: RenderTimes, limits: ScheduleLimits): PollSchedule | null {
  return saysEnough(times) ? scheduleForKnown(densityOf(times), lagTargetMs(times), limits) : null
}

/** By the histogram, which is a little wider than the truth: it comes to less than half of what polling every 30 s leads to. */
const LAG_MAX_MS = 7_000
/** Of what clips of the kind take: those that are done sooner are noticed sooner, and of long ones less is not worth its requests. */
const LAG_SHARE_MAX = 0.06
const LAG_SHARE_MIN = 0.02

function lagTargetMs(times: RenderTimes): number {
  const medianMs = quantileMs(times, 0.5) ?? 0
  return Math.max(Math.min(LAG_MAX_MS, LAG_SHARE_MAX * medianMs), LAG_SHARE_MIN * medianMs)
}

/** The schedule with the fewest requests whose mean lag is `lagMs` or less, as far as the limits allow. `density`: the probability of each bucket. */
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
  /** Of clips done by `at[i]`: their probability, and the sum of their times weighted by it. */
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
  /** From each moment on: the cost, the lag and the requests, weighted by the probability that it is reached; the next moment. */
  const cost = at.map(() => 0)
  const lag = at.map(() => 0)
  const requests = at.map(() => 0)
  const next = at.map(() => BUCKETS)
  for (let from = BUCKETS - 1; from >= 0; from--) {
    const unfinished = total - value(done, from)
    let least = Number.POSITIVE_INFINITY
    for (let to = from + 1; to <= BUCKETS; to++) {
      const waitMs = value(at, to) - value(at, from)
      // The next edge may be nearer than the least wait, or farther than the longest: then it is the only choice.
      if (waitMs < intervalMinMs && to < BUCKETS) continue
      if (waitMs > intervalMaxMs && least < Number.POSITIVE_INFINITY) break
      const late = value(at, to) * (value(done, to) - value(done, from)) - (value(doneMs, to) - value(doneMs, from))
      const sum = requestMs * unfinished + late + value(cost, to)
      // Of later moments the lag alone costs more.
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
      // The last moment that is not after it; the clip was unfinished then too.
      let from = 0
      while (from < BUCKETS && value(at, from + 1) <= elapsedMs) from++
      const dueMs = from < BUCKETS ? value(at, value(next, from)) : elapsedMs + intervalMaxMs
      // Up, so that the poll comes at that moment and not just before it.
      return Math.ceil(Math.min(Math.max(dueMs - elapsedMs, intervalMinMs), intervalMaxMs))
    },
    expected: { lagMs: value(lag, 0) / total, requests: value(requests, 0) / total },
  }
}
