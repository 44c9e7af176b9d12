// The meaning of one submission's answer for all other submissions. Pure: the submit step tells the gate. Reads the
// class decided by the adapter, and no HTTP numbers.

import type { RefusalClass } from './refusal.ts'

/** After this many submissions in a row without an answer, no more are spent until the provider answers again. */
export const FAILURES_MAX = 5
/**
 * After this many equal refusals of requests in a row, without an acceptance in between, the gate closes with the words
 * of the refusal.
 */
export const SAME_REFUSALS_MAX = 5
/** After a refusal has closed the gate: the wait until one submission is tried. Doubles after each further refusal. */
export const REFUSAL_RETRY_MIN_MS = 5_000
export const ACCOUNT_RETRY_MAX_MS = 60_000
/** The longest wait for the other classes: the provider may accept some of the waiting requests. */
export const REFUSAL_RETRY_MAX_MS = 20_000
/**
 * After silence closed the gate, and a trial submission was not answered either: the wait until the next trial. Doubles
 * each time.
 */
const SILENT_TRIAL_MIN_MS = 2_000
/** The same wait when nothing shows that the base URL is the provider's: each trial may be paid for without a video. */
const UNPROVEN_TRIAL_MIN_MS = 120_000
const SILENT_TRIAL_MAX_MS = 600_000
/** After a 429 without a time. */
const HOLD_DEFAULT_MS = 2_000
const HOLD_MAX_MS = 600_000
const REFUSAL_CHARS_MAX = 300

/** The meaning of a submission's answer for all other submissions. */
export type GateSignal =
  | { readonly kind: 'answered' | 'failure' }
  | { readonly kind: 'hold'; readonly forMs: number }
  /** `key` is equal for equal refusals; `refusal` is the text for operators. */
  | { readonly kind: 'refusal'; readonly class: RefusalClass; readonly key: string; readonly refusal: string }

export interface Answered {
  readonly kind: 'accepted' | 'rejected' | 'unknown'
  readonly class?: RefusalClass
  readonly code?: string
  readonly message?: string
  readonly retryAfterMs?: number | null
}

/** Pure. A refusal of one request's content counts as an answer. */
export function gateSignal(answer: Answered): GateSignal {
  const { kind, code = '', message = '', retryAfterMs } = answer
  if (kind === 'accepted') return { kind: 'answered' }
  if (kind === 'unknown') return { kind: 'failure' }
  const refusalClass = answer.class ?? 'request'
  switch (refusalClass) {
    case 'unreachable':
      return { kind: 'failure' }
    case 'rate':
    case 'capacity':
      return { kind: 'hold', forMs: Math.min(retryAfterMs ?? HOLD_DEFAULT_MS, HOLD_MAX_MS) }
    case 'moderation':
      return { kind: 'answered' }
    case 'account':
    case 'configuration':
    case 'request': {
      const refusal = `${code}: ${message}`.slice(0, REFUSAL_CHARS_MAX)
      return { kind: 'refusal', class: refusalClass, key: sameness(refusalClass, code, message), refusal }
    }
  }
}

/** The shortest time for which silence keeps the gate closed, after `trials` unanswered trials. */
export function silentTrialWaitMs(trials: number, isProven: boolean): number {
  if (trials === 0) return 0
  return Math.min((isProven ? SILENT_TRIAL_MIN_MS : UNPROVEN_TRIAL_MIN_MS) * 2 ** (trials - 1), SILENT_TRIAL_MAX_MS)
}

/** Whether a refusal of this class closes the gate at once and fails no generation. */
export const isNobodysFault = (refusalClass: RefusalClass) =>
  refusalClass === 'account' || refusalClass === 'configuration'

/** Equal for refusals that differ only in ids, numbers, times and quoted values. */
function sameness(refusalClass: RefusalClass, code: string, message: string): string {
  const words = message
    .toLowerCase()
    .replace(/"[^"]*"|'[^']*'|`[^`]*`/g, '*')
    .replace(/[\w-]*\d[\w-]*/g, '*')
    .replace(/\s+/g, ' ')
  return `${refusalClass} ${code} ${words}`.slice(0, REFUSAL_CHARS_MAX)
}
