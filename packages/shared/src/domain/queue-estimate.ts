// When a queued generation is likely to be submitted: by how fast its project has been admitted lately. Pure.

/** Generations of a project that were admitted, and over how many minutes. */
export interface Pace {
  readonly admitted: number
  readonly minutes: number
}

/** The pace is taken over this long. */
export const PACE_MINUTES = 15
/** Fewer admissions say nothing about the next. */
const ADMITTED_MIN = 5
/** A pace of less than a minute is the burst with which a backlog begins. */
const MINUTES_MIN = 1
/** Beyond this nobody should plan with it. */
const ESTIMATE_MAX_MS = 7 * 24 * 3_600_000

/** Whether a pace says anything about the next admissions. */
export const saysSomething = ({ admitted, minutes }: Pace) => admitted >= ADMITTED_MIN && minutes >= MINUTES_MIN

/** Of `slots`, how many those take that are kept for late renders: a quarter at the most and never the last one (store/admission.ts). */
export function keptSlotsTaken(kept: number, slots: number): number {
  return Math.max(0, Math.min(kept, Math.ceil(slots / 4), slots - 1))
}

/** Ms until a generation with `ahead` others before it is submitted; null when it cannot be told honestly. */
export function estimateWaitMs(ahead: number, pace: Pace): number | null {
  if (!saysSomething(pace)) return null
  const waitMs = ((ahead + 1) * pace.minutes * 60_000) / pace.admitted
  return waitMs <= ESTIMATE_MAX_MS ? Math.round(waitMs) : null
}
