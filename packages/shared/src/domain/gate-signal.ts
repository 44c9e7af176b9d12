// What the answer to one submission means for all the others. Pure: the submit step tells the gate. It reads the class that the
// adapter decided, and no HTTP numbers.

import type { RefusalClass } from './refusal.ts'

/** Submissions in a row that were not answered, after which no more are spent until the provider answers again. */
export const SILENCES_MAX = 5
/** The same refusal of requests in a row, without an acceptance between, after which the gate closes with its words. */
export const SAME_REFUSALS_MAX = 5
/** After a refusal has closed the gate: how long until one submission is tried again; doubles each time it is refused again. */
export const REFUSAL_RETRY_MIN_MS = 5_000
export const ACCOUNT_RETRY_MAX_MS = 60_000
/** The same for the other classes: among the requests that wait may be some that the provider accepts. */
export const REFUSAL_RETRY_MAX_MS = 20_000
/** After silence closed the gate, and one submission was tried and not answered either: until the next is tried. Doubles each time. */
const SILENT_TRIAL_MIN_MS = 2_000
/** The same where nothing shows that the base URL is the provider's: each trial may be paid for in vain. */
const UNPROVEN_TRIAL_MIN_MS = 120_000
const SILENT_TRIAL_MAX_MS = 600_000
/** After a 429 that names no time. */
const HOLD_DEFAULT_MS = 2_000
const HOLD_MAX_MS = 600_000
const REFUSAL_CHARS_MAX = 300

/** How the answer to a submission reads for all the others. */
export type GateSignal =
  | { readonly kind: 'answered' | 'silence' }
  | { readonly kind: 'hold'; readonly forMs: number }
  /** `key` is equal for equal refusals; `refusal` is what operators read. */
  | { readonly kind: 'refusal'; readonly class: RefusalClass; readonly key: string; readonly refusal: string }

export interface Answered {
  readonly kind: 'accepted' | 'rejected' | 'unknown'
  readonly class?: RefusalClass
  readonly code?: string
  readonly message?: string
  readonly retryAfterMs?: number | null
}

/** Pure. A refusal of one request's content is an answer like any other. */
export function gateSignal(answer: Answered): GateSignal {
  const { kind, code = '', message = '', retryAfterMs } = answer
  if (kind === 'accepted') return { kind: 'answered' }
  if (kind === 'unknown') return { kind: 'silence' }
  const refusalClass = answer.class ?? 'request'
  switch (refusalClass) {
    case 'unreachable':
      return { kind: 'silence' }
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

/** How long the gate stays closed for silence at the least, after so many trials in vain. */
export function silentTrialWaitMs(trials: number, isProven: boolean): number {
  if (trials === 0) return 0
  return Math.min((isProven ? SILENT_TRIAL_MIN_MS : UNPROVEN_TRIAL_MIN_MS) * 2 ** (trials - 1), SILENT_TRIAL_MAX_MS)
}

/** Whether such a refusal closes the gate at once and fails no generation. */
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
