// What a settled submission means for its generation. Pure: the store only carries out what is decided here.

/** How one submission ended, as the ledger records it. */
export type Settlement =
  | { readonly state: 'accepted' }
  /** `isReleased`: the refusal is not about this generation (gate-signal.ts). */
  | { readonly state: 'rejected'; readonly retryable: boolean; readonly isReleased: boolean }
  | { readonly state: 'unknown' }

export interface SubmissionContext {
  readonly cancelRequested: boolean
  readonly policy: 'fail' | 'resubmit'
  /** Submissions of this attempt that ended unknown, this one included. */
  readonly unknownCount: number
  /** True once certain refusals have been retried for as long as `SUBMIT_RETRY_MAX_MS`. */
  readonly retriesExhausted: boolean
}

/** `release`: the refusal was not about this generation, which waits for admission again. */
export type Consequence = 'process' | 'cancel' | 'submit_again' | 'release' | 'fail'

/** Unknown outcomes that a caller's `resubmit` may lead to: the first one is followed by at most one more submission. */
export const UNKNOWN_SUBMISSIONS_MAX = 2

/** How long a generation goes on being refused (429, unreachable provider) before it fails, from its admission. */
export const SUBMIT_RETRY_MAX_MS = 24 * 3_600_000

/**
 * INVARIANT: only a certain refusal, or an explicit `resubmit` within its bound, leads to another submission;
 * a requested cancel forbids both.
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
 * Back-off in ms before the next submission after a certain refusal: 1 s doubling to 60 s with ±20 % jitter,
 * never sooner than the provider's `Retry-After` (taken up to 10 minutes). `submissions` counts those of this attempt so far.
 */
export function submitBackoffMs(submissions: number, retryAfterMs: number | null, random: number): number {
  const base = Math.min(60_000, 1_000 * 2 ** Math.min(submissions - 1, 10))
  return Math.round(Math.max(base * (0.8 + 0.4 * random), Math.min(retryAfterMs ?? 0, 600_000)))
}

/** How often an outcome without a task id is tried to be recorded: the lease's end then says the same. */
const RECORD_TRIES_MAX = 12

const RECORD_WAIT_MAX_MS = 10_000
/** A process that is killed while it waits takes this knowledge along. */
const KNOWN_HERE_WAIT_MAX_MS = 1_000

/**
 * Wait in ms before an outcome is tried to be recorded again, after `tries` in vain: 0.5 s doubling to 10 s, or to 1 s for what only
 * this process knows: a task id, without which a render is paid for nothing, or that nothing was sent. That is never given up; null
 * gives up anything else.
 */
export function recordAgainMs(state: Settlement['state'] | 'unsent', tries: number): number | null {
  const isKnownHereOnly = state === 'accepted' || state === 'unsent'
  if (!isKnownHereOnly && tries >= RECORD_TRIES_MAX) return null
  return Math.min(250 * 2 ** Math.min(tries, 10), isKnownHereOnly ? KNOWN_HERE_WAIT_MAX_MS : RECORD_WAIT_MAX_MS)
}
