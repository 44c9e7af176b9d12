// Render times of a render profile, as an exponentially decayed histogram: a fixed number of weights, for any number of
// renders. Pure.

/** Each bucket is longer than the bucket before by this factor: fine enough to place a poll within a few seconds. */
const RATIO = 1.025
const FIRST_MS = 1_000
/** Up to four hours, beyond any useful deadline. */
export const BUCKETS = Math.ceil(Math.log(14_400) / Math.log(RATIO))
/**
 * The weight of a clip after the next clip: after a hundred clips, an old habit of the provider has a seventh of the
 * weight.
 */
const KEPT = 0.98

/** The weights of the buckets; each clip adds 1. */
export type RenderTimes = readonly number[]

export const NO_RENDER_TIMES: RenderTimes = Array.from({ length: BUCKETS }, () => 0)

/** The start of bucket `index`, in ms; for `BUCKETS`, the end of the last bucket. */
export const edgeMs = (index: number) => FIRST_MS * RATIO ** index

/** The bucket of a render of this length. Shorter and longer renders fall into the first and the last bucket. */
export function bucketOf(renderMs: number): number {
  const index = Math.floor(Math.log(Math.max(renderMs, FIRST_MS) / FIRST_MS) / Math.log(RATIO))
  return Math.min(index, BUCKETS - 1)
}

/**
 * The share of a clip's weight that is spread evenly over the time in which the clip may have ended. The rest follows
 * the ends of other clips.
 */
const EVEN_SHARE = 0.03
/** The even share covers at most the last half of the clip's time. */
const EVEN_FROM = 0.5

/**
 * One clip in ten gets an exploration poll (`explorationShare`). Its clip counts for several clips, so that the finding is
 * known soon.
 */
const EXPLORATION_EVERY = 10
const EXPLORATION_CLIPS = 5
const EXPLORATION_SHARE_MIN = 0.4
const EXPLORATION_SHARE_MAX = 0.95

/**
 * Polls at the usual end of clips never learn that clips now end sooner. So one generation in ten, chosen by the random
 * end of its id, has an early first poll: an exploration poll.
 * @returns the share of the ordinary wait for the first poll; null for all other generations
 */
export function explorationShare(generationId: string): number | null {
  const place = [...generationId.slice(-4)].reduce((sum, letter) => (sum * 33 + letter.charCodeAt(0)) % 10_007, 0)
  if (place % EXPLORATION_EVERY !== 0) return null
  return EXPLORATION_SHARE_MIN + (EXPLORATION_SHARE_MAX - EXPLORATION_SHARE_MIN) * (place / 10_007)
}

/** The number of clips that a generation counts for. */
export const clipsFor = (generationId: string) => (explorationShare(generationId) === null ? 1 : EXPLORATION_CLIPS)

/**
 * The histogram with one more clip, which was unfinished at `afterMs` and finished by `byMs`; the exact end is unknown.
 * This is one step of expectation maximisation for interval-censored data: the weight follows the ends of other clips
 * in the interval. Otherwise clips would seem to end at the moments of the polls.
 * @param clips the weight of the clip
 */
export function withRender(times: RenderTimes, afterMs: number, byMs: number, clips = 1): RenderTimes {
  const last = bucketOf(byMs)
  const first = Math.min(bucketOf(afterMs), last)
  /** The part of the bucket within the interval, in ms. */
  const overlapMs = (index: number) => Math.max(0, Math.min(edgeMs(index + 1), byMs) - Math.max(edgeMs(index), afterMs))
  const even = weightsOver(first, last, (index) => (edgeMs(index + 1) < byMs * EVEN_FROM ? 0 : overlapMs(index)))
  const alike = weightsOver(first, last, (index) => {
    return ((times[index] ?? 0) * overlapMs(index)) / (edgeMs(index + 1) - edgeMs(index))
  })
  const evenShare = alike.sum > 0 ? EVEN_SHARE : 1
  const kept = KEPT ** clips
  const added = (1 - kept) / (1 - KEPT)
  return times.map((weight, index) => {
    if (index < first || index > last) return weight * kept
    return weight * kept + added * (evenShare * even.at(index) + (1 - evenShare) * alike.at(index))
  })
}

/**
 * Weights of the buckets from `first` to `last`, with the sum 1. Without any information all weight is on the last
 * bucket.
 */
function weightsOver(first: number, last: number, weigh: (index: number) => number) {
  const list = Array.from({ length: last - first + 1 }, (_, place) => weigh(first + place))
  const sum = list.reduce((total, weight) => total + weight, 0)
  return {
    sum,
    at: (index: number) => (sum > 0 ? (list[index - first] ?? 0) / sum : Number(index === last)),
  }
}

/** The number of clips in the histogram; old clips count little. */
export const weightOf = (times: RenderTimes) => times.reduce((sum, weight) => sum + weight, 0)

/**
 * The ms within which this share (0 to 1) of the clips ended, among clips longer than `beyondMs`; null when no known
 * clip is longer.
 */
export function quantileMs(times: RenderTimes, share: number, beyondMs = 0): number | null {
  const rest = times.map((weight, index) => {
    const unfinished = (edgeMs(index + 1) - Math.max(edgeMs(index), beyondMs)) / (edgeMs(index + 1) - edgeMs(index))
    return weight * Math.max(0, unfinished)
  })
  const total = weightOf(rest)
  // A smaller rest is only rounding.
  if (total < 1e-6) return null
  let below = 0
  const index = rest.findIndex((weight) => {
    below += weight
    return below >= total * share
  })
  return edgeMs(index + 1)
}

/** Fewer clips say too little about the next clip. */
const CLIPS_MIN = 8
/** Fewer clips do not show which time is slow. */
const SLOW_CLIPS_MIN = 20

export const saysEnough = (times: RenderTimes) => weightOf(times) >= CLIPS_MIN

/** Ms until half of the clips still unfinished at `elapsedMs` are done; null while too little is known. */
export function remainingMs(times: RenderTimes, elapsedMs: number): number | null {
  const endsMs = saysEnough(times) ? quantileMs(times, 0.5, elapsedMs) : null
  return endsMs === null ? null : endsMs - elapsedMs
}

/** The ms within which 99 of 100 clips were done; null while too few clips are known. */
export const slowMs = (times: RenderTimes): number | null =>
  weightOf(times) < SLOW_CLIPS_MIN ? null : quantileMs(times, 0.99)
