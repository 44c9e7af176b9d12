// What the answer to one submission means for all the others. Pure: the submit step tells the gate.

/** Submissions in a row that were not answered, after which no more are spent until the provider answers again. */
export const SILENCES_MAX = 5
/** After the provider refused the account: how long until a submission is tried again. */
export const ACCOUNT_RETRY_MS = 5 * 60_000
/** After a 429 that names no time. */
const HOLD_DEFAULT_MS = 2_000
const HOLD_MAX_MS = 600_000

/** How the answer to a submission reads for all the others. */
export type GateSignal =
  | { readonly kind: 'answered' | 'silence' }
  | { readonly kind: 'hold'; readonly forMs: number }
  | { readonly kind: 'account'; readonly refusal: string }

export interface Answered {
  readonly kind: 'accepted' | 'rejected' | 'unknown'
  readonly code?: string
  readonly message?: string
  readonly httpStatus?: number | null
  readonly retryAfterMs?: number | null
}

/** Pure. A refusal for the request itself is an answer like any other. */
export function gateSignal(answer: Answered): GateSignal {
  const { kind, code = '', message = '', httpStatus = null, retryAfterMs } = answer
  if (kind === 'accepted') return { kind: 'answered' }
  if (kind === 'unknown') return { kind: 'silence' }
  if (isAboutAccount({ code, message, httpStatus })) return { kind: 'account', refusal: `${code}: ${message}` }
  if (httpStatus === 429 || code === 'upstream_429')
    return { kind: 'hold', forMs: Math.min(retryAfterMs ?? HOLD_DEFAULT_MS, HOLD_MAX_MS) }
  return { kind: code === 'upstream_unreachable' ? 'silence' : 'answered' }
}

const ACCOUNT_STATUSES: readonly (number | null)[] = [401, 402, 403]
const ACCOUNT_CODES = ACCOUNT_STATUSES.map((status) => `upstream_${status}`)
const ACCOUNT_WORDS =
  /insufficient (account )?(balance|credits?|quota|funds?)|(balance|quota) (is )?(insufficient|exhausted)|余额不足/i

/** Whether a refusal is about the account that pays, and would meet every other generation too. */
function isAboutAccount({
  code,
  message,
  httpStatus,
}: Required<Pick<Answered, 'code' | 'message' | 'httpStatus'>>): boolean {
  // A message may quote what the request said, so words count only where nothing says that the request is what is wrong.
  const isEnvelope = httpStatus !== null && httpStatus >= 200 && httpStatus < 300
  return (
    ACCOUNT_STATUSES.includes(httpStatus) || ACCOUNT_CODES.includes(code) || (isEnvelope && ACCOUNT_WORDS.test(message))
  )
}
