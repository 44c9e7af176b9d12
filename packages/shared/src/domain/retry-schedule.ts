// The retry schedule of webhook deliveries. The first step is the first attempt itself: ten steps are ten attempts, and
// the waits between the attempts add up to a little over three days.

const SECOND = 1_000
const MINUTE = 60 * SECOND
const HOUR = 60 * MINUTE

/** The wait before each attempt, in ms: index 0 before the first, index 1 before the second, … */
const DELIVERY_STEPS_MS: readonly number[] = [
  0,
  5 * SECOND,
  5 * MINUTE,
  30 * MINUTE,
  2 * HOUR,
  5 * HOUR,
  10 * HOUR,
  14 * HOUR,
  20 * HOUR,
  24 * HOUR,
]

const JITTER = 0.2
/** The shortest wait after an overload of the endpoint (429, or too slow to answer). */
const OVERLOAD_DELAY_MS = MINUTE

export interface LastAttempt {
  /** Attempts already made; 0 before the first. */
  readonly attempt: number
  readonly httpStatus: number | null
  readonly timedOut: boolean
  readonly retryAfterMs: number | null
  /** From 0 (inclusive) to 1 (exclusive). */
  readonly random: number
}

/**
 * Whole milliseconds until the next attempt, or null after the last step. A step is spread by ±20 %. A `Retry-After` is
 * honoured between one and two times the step. After 429 or a timeout the wait is at least 60 s.
 */
export function nextAttemptDelayMs(last: LastAttempt): number | null {
  const step = DELIVERY_STEPS_MS[last.attempt]
  if (step === undefined) return null
  let delay = step * (1 - JITTER + 2 * JITTER * last.random)
  if (last.retryAfterMs !== null) delay = Math.min(Math.max(delay, last.retryAfterMs, step), 2 * step)
  // Spread only upwards; otherwise all deliveries that timed out in an outage would come back in the same second.
  if (last.httpStatus === 429 || last.timedOut) {
    delay = Math.max(delay, OVERLOAD_DELAY_MS * (1 + JITTER * last.random))
  }
  return Math.round(delay)
}
