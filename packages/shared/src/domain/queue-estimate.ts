// The likely submission time of a queued generation, from the recent admission rate of its project. Pure.

/** The admission rate: the admitted generations of a project, and over how many minutes. */
export interface AdmissionRate {
  readonly admitted: number
  readonly minutes: number
}

/** The rate is taken over this long. */
export const RATE_MINUTES = 15
/** Fewer admissions say nothing about the next admission. */
const ADMITTED_MIN = 5
/** A rate over less than a minute is the burst at the beginning of a backlog. */
const MINUTES_MIN = 1
/** A longer wait is not worth planning with. */
const ESTIMATE_MAX_MS = 7 * 24 * 3_600_000

/** Whether a rate says anything about the next admissions. */
export const hasEnoughData = ({ admitted, minutes }: AdmissionRate) =>
  admitted >= ADMITTED_MIN && minutes >= MINUTES_MIN

/**
 * How many of `slots` are taken by slots kept for late renders: a quarter at most, and never the last slot
 * (store/admission/admission.ts).
 */
export function keptSlotsTaken(kept: number, slots: number): number {
  return Math.max(0, Math.min(kept, Math.ceil(slots / 4), slots - 1))
}

/**
 * Ms until a generation with `ahead` generations before it is submitted; null when an honest estimate is impossible.
 */
export function estimateWaitMs(ahead: number, rate: AdmissionRate): number | null {
  if (!hasEnoughData(rate)) return null
  const waitMs = ((ahead + 1) * rate.minutes * 60_000) / rate.admitted
  return waitMs <= ESTIMATE_MAX_MS ? Math.round(waitMs) : null
}
