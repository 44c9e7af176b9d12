// The waits of the submit step: before the next submission, and before the next try to record an outcome.

import type { OutcomeInput } from './lifecycle/consequence.ts'

/**
 * Back-off in ms before the next submission after a certain refusal: 1 s doubling to 60 s with ±20 % jitter, never
 * sooner than the provider's `Retry-After` (honoured up to 10 minutes). `submissions`: the submissions of this attempt
 * so far.
 */
export function submitBackoffMs(submissions: number, retryAfterMs: number | null, random: number): number {
  const base = Math.min(60_000, 1_000 * 2 ** Math.min(submissions - 1, 10))
  return Math.round(Math.max(base * (0.8 + 0.4 * random), Math.min(retryAfterMs ?? 0, 600_000)))
}

/** The tries to record an outcome without a task id. Later the end of the lease has the same effect. */
const RECORD_TRIES_MAX = 12

const RECORD_WAIT_MAX_MS = 10_000
/** Short: a process that is killed during the wait takes its knowledge along. */
const KNOWN_HERE_WAIT_MAX_MS = 1_000

/**
 * Wait in ms before the next try to record an outcome, after `tries` failed tries: 0.5 s doubling to 10 s; null gives
 * up. Knowledge that only this process has is never given up, and its wait ends at 1 s: a task id, without which a
 * render is paid for nothing, or the fact that nothing was sent.
 */
export function recordAgainMs(state: OutcomeInput['state'] | 'unsent', tries: number): number | null {
  const isKnownHereOnly = state === 'accepted' || state === 'unsent'
  if (!isKnownHereOnly && tries >= RECORD_TRIES_MAX) return null
  return Math.min(250 * 2 ** Math.min(tries, 10), isKnownHereOnly ? KNOWN_HERE_WAIT_MAX_MS : RECORD_WAIT_MAX_MS)
}
