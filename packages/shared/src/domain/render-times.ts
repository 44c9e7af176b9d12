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
const EVEN_SHARE = 0.05

/**
 * The times with one more clip among them, which was unfinished at `afterMs` and finished by `byMs`: when it ended in between, nobody
 * saw. It is taken to have ended where others of that span did, or else clips would seem to end at the moments of the polls.
 */
export function withRender(times: RenderTimes, afterMs: number, byMs: number): RenderTimes {
  const last = bucketOf(byMs)
  const first = Math.min(bucketOf(afterMs), last)
  /** The part of each bucket that lies in the span. */
  const overlap = (index: number) => {
    if (index < first || index > last) return 0
    if (first === last) return 1
    const from = Math.max(edgeMs(index), afterMs)
    const to = Math.min(edgeMs(index + 1), byMs)
    return Math.max(0, (to - from) / (edgeMs(index + 1) - edgeMs(index)))
  }
  const even = times.map((_, index) => overlap(index) * (edgeMs(index + 1) - edgeMs(index)))
  const alike = times.map((weight, index) => weight * overlap(index))
  const [evenSum, alikeSum] = [even, alike].map((list) => list.reduce((sum, one) => sum + one, 0))
  const evenShare = alikeSum ? EVEN_SHARE : 1
  return times.map((weight, index) => {
    const share =
      (evenShare * (even[index] ?? 0)) / (evenSum || 1) + ((1 - evenShare) * (alike[index] ?? 0)) / (alikeSum || 1)
    return weight * KEPT + share
  })
}

/** How many clips the times speak of: those long ago count little. */
export const weightOf = (times: RenderTimes) => times.reduce((sum, weight) => sum + weight, 0)
