// The consequence of a settled submission for its generation. Pure: the store only carries the decision out.

/** The outcome of one submission, as the ledger records it. */
export type Settlement =
  | { readonly state: 'accepted' }
  /** `isReleased`: the refusal is not about this generation (gate-signal.ts). */
  | { readonly state: 'rejected'; readonly retryable: boolean; readonly isReleased: boolean }
  | { readonly state: 'unknown' }

export interface SubmissionContext {
  readonly cancelRequested: boolean
  readonly policy: 'fail' | 'resubmit'
  /** Submissions of this attempt with an unknown outcome, this submission included. */
  readonly unknownCount: number
  /** True once certain refusals have been retried for as long as `SUBMIT_RETRY_MAX_MS`. */
  readonly retriesExhausted: boolean
}

/** `release`: the refusal was not about this generation; the generation waits for admission again. */
export type Consequence = 'process' | 'cancel' | 'submit_again' | 'release' | 'fail'

/** The bound for a caller's `resubmit`: the first unknown outcome is followed by at most one more submission. */
export const UNKNOWN_SUBMISSIONS_MAX = 2

/** How long a generation may be refused (429, unreachable provider) before it fails, counted from its admission. */
export const SUBMIT_RETRY_MAX_MS = 24 * 3_600_000

/**
 * INVARIANT: only a certain refusal, or an explicit `resubmit` within its bound, leads to another submission; a
 * requested cancel forbids any further submission.
 */
export function consequenceOf(settlement: Settlement, context: SubmissionContext): Consequence {
  if (context.cancelRequested) return 'cancel'
  switch (settlement.state) {
    case 'accepted':
      return 'process'
    case 'rejected':
      if (settlement.isReleased) return 'release'
      return settlement.retryable && !context.retriesExhausted ? 'submit_again' : 'fail'
    case 'unknown':
      return context.policy === 'resubmit' && context.unknownCount < UNKNOWN_SUBMISSIONS_MAX ? 'submit_again' : 'fail'
  }
}

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
export function recordAgainMs(state: Settlement['state'] | 'unsent', tries: number): number | null {
  const isKnownHereOnly = state === 'accepted' || state === 'unsent'
  if (!isKnownHereOnly && tries >= RECORD_TRIES_MAX) return null
  return Math.min(250 * 2 ** Math.min(tries, 10), isKnownHereOnly ? KNOWN_HERE_WAIT_MAX_MS : RECORD_WAIT_MAX_MS)
}
