// How long clips of a kind render, as a histogram that forgets: a fixed number of weights, whatever has been rendered. Pure.

/** Each bucket is this much longer than the one before it: fine enough to place a poll within a few seconds. */
const RATIO = 1.025
const FIRST_MS = 1_000
/** Up to four hours, beyond any deadline that is worth a plan. */
export const BUCKETS = Math.ceil(Math.log(14_400) / Math.log(RATIO))
/** What a clip still weighs when the next one is done: after a hundred, an old habit of the provider is a seventh of all. */
const KEPT = 0.98

/** The weights of the buckets; each clip adds 1. */
export type RenderTimes = readonly number[]

export const NO_RENDER_TIMES: RenderTimes = Array.from({ length: BUCKETS }, () => 0)

/** Where bucket `index` begins, in ms; that of `BUCKETS` is where the last one ends. */
export const edgeMs = (index: number) => FIRST_MS * RATIO ** index

/** The bucket that a render of this length falls into; shorter and longer ones fall into the first and the last. */
export function bucketOf(renderMs: number): number {
  const index = Math.floor(Math.log(Math.max(renderMs, FIRST_MS) / FIRST_MS) / Math.log(RATIO))
  return Math.min(index, BUCKETS - 1)
}

/** Of a clip's weight, what is spread evenly over the time in which it may have ended; the rest goes where others have ended. */
const EVEN_SHARE = 0.03
/** It is spread over no more than the last half of the time that it took. */
const EVEN_FROM = 0.5

/** One clip in so many is a scout (`scoutShare`), and counts for more than one, so that what scouts find out is known soon. */
const SCOUT_EVERY = 10
const SCOUT_CLIPS = 5
const SCOUT_SHARE_MIN = 0.4
const SCOUT_SHARE_MAX = 0.95

/**
 * Whoever asks when all clips used to be done does not learn that they are done sooner by now. So one generation in ten, by the random
 * end of its id, is first asked about before its time.
 * @returns the share of the ordinary wait for the first poll; null for the others
 */
export function scoutShare(generationId: string): number | null {
  const place = [...generationId.slice(-4)].reduce((sum, letter) => (sum * 33 + letter.charCodeAt(0)) % 10_007, 0)
  if (place % SCOUT_EVERY !== 0) return null
  return SCOUT_SHARE_MIN + (SCOUT_SHARE_MAX - SCOUT_SHARE_MIN) * (place / 10_007)
}

/** How many clips a generation counts for. */
export const clipsFor = (generationId: string) => (scoutShare(generationId) === null ? 1 : SCOUT_CLIPS)

/**
 * The times with one more clip among them, which was unfinished at `afterMs` and finished by `byMs`: when it ended in between, nobody
 * saw. It is taken to have ended where others of that span did, or else clips would seem to end at the moments of the polls.
 * @param clips that it counts for
 */
export function withRender(times: RenderTimes, afterMs: number, byMs: number, clips = 1): RenderTimes {
  const last = bucketOf(byMs)
  const first = Math.min(bucketOf(afterMs), last)
  /** What of the bucket lies in the span, in ms. */
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

/** Weights of the buckets from `first` to `last`, which sum up to 1; all of it is on the last where there is nothing to go by. */
function weightsOver(first: number, last: number, weigh: (index: number) => number) {
  const list = Array.from({ length: last - first + 1 }, (_, place) => weigh(first + place))
  const sum = list.reduce((total, weight) => total + weight, 0)
  return {
    sum,
    at: (index: number) => (sum > 0 ? (list[index - first] ?? 0) / sum : Number(index === last)),
  }
}

/** How many clips the times speak of: those long ago count little. */
export const weightOf = (times: RenderTimes) => times.reduce((sum, weight) => sum + weight, 0)

/** How many ms such a share (0 to 1) of the clips takes that take longer than `beyondMs`; null where no clip is known to. */
export function quantileMs(times: RenderTimes, share: number, beyondMs = 0): number | null {
  const rest = times.map((weight, index) => {
    const unfinished = (edgeMs(index + 1) - Math.max(edgeMs(index), beyondMs)) / (edgeMs(index + 1) - edgeMs(index))
    return weight * Math.max(0, unfinished)
  })
  const total = weightOf(rest)
  // Rounding alone leaves less.
  if (total < 1e-6) return null
  let below = 0
  const index = rest.findIndex((weight) => {
    below += weight
    return below >= total * share
  })
  return edgeMs(index + 1)
}

/** Fewer clips say too little of the next. */
const CLIPS_MIN = 8
/** Fewer do not say what is slow. */
const SLOW_CLIPS_MIN = 20

export const saysEnough = (times: RenderTimes) => weightOf(times) >= CLIPS_MIN

/** Ms until half of the clips that are unfinished at `elapsedMs` are done; null where too little is known. */
export function remainingMs(times: RenderTimes, elapsedMs: number): number | null {
  const endsMs = saysEnough(times) ? quantileMs(times, 0.5, elapsedMs) : null
  return endsMs === null ? null : endsMs - elapsedMs
}

/** Ms by which 99 of 100 clips were done; null while too few are known. */
export const slowMs = (times: RenderTimes): number | null =>
  weightOf(times) < SLOW_CLIPS_MIN ? null : quantileMs(times, 0.99)
