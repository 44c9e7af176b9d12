// When a rendering generation is asked about next. Pure; all times are milliseconds since the submission was accepted.

export interface PollLimits {
  readonly intervalMinMs: number
  readonly intervalMaxMs: number
  /** After this long the generation fails, though it is still asked about. */
  readonly deadlineMs: number
}

/** The provider deletes its record of a task after about a day: asking longer learns nothing. */
export const LATE_ASKING_ENDS_MS = 24 * 3_600_000
/** Pace of asking after the deadline. */
const LATE_INTERVAL_MS = 10 * 60_000

/** Delay in ms before the first poll. */
export function firstPollMs(limits: PollLimits): number {
  return limits.intervalMinMs
}

export interface PollState {
  readonly elapsedMs: number
  /** Polls in a row without a usable answer, this one included. */
  readonly failures: number
  readonly retryAfterMs: number | null
}

/**
 * Delay in ms before the next poll: a tenth of the time already waited, within the limits; doubled for each
 * failure in a row; never sooner than `Retry-After` (taken up to an hour).
 */
export function nextPollMs(state: PollState, limits: PollLimits): number {
  const paced = Math.min(Math.max(state.elapsedMs / 10, limits.intervalMinMs), limits.intervalMaxMs)
  const backedOff = Math.min(paced * 2 ** Math.min(state.failures, 6), Math.max(limits.intervalMaxMs * 4, paced))
  return Math.round(Math.max(backedOff, Math.min(state.retryAfterMs ?? 0, 3_600_000)))
}

/** Delay in ms before a failed generation is asked about again, or null when the provider will have forgotten it. */
export function latePollMs(state: PollState): number | null {
  const delay = Math.max(LATE_INTERVAL_MS, Math.min(state.retryAfterMs ?? 0, 3_600_000))
  return state.elapsedMs + delay < LATE_ASKING_ENDS_MS ? delay : null
}

/** How long a render plausibly goes on after nobody waits for it: its slot is kept for it. Published estimates end at 15 minutes. */
export const RENDER_MAX_MS = 30 * 60_000
