// The consequence of a recorded outcome for the generation of its current submission.

/** The outcome of one submission, as the ledger records it. */
export type OutcomeInput =
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
export function consequenceOf(outcome: OutcomeInput, context: SubmissionContext): Consequence {
  if (context.cancelRequested) return 'cancel'
  switch (outcome.state) {
    case 'accepted':
      return 'process'
    case 'rejected':
      if (outcome.isReleased) return 'release'
      return outcome.retryable && !context.retriesExhausted ? 'submit_again' : 'fail'
    case 'unknown':
      return context.policy === 'resubmit' && context.unknownCount < UNKNOWN_SUBMISSIONS_MAX ? 'submit_again' : 'fail'
  }
}
