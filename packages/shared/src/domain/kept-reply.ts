// The stored part of the provider's answers: the reply to a create, which may have been paid for, and the last answer
// to a poll. The stored part is bounded, storable in Postgres, and free of the key.

/** The reply to a create, as received. `body` is only the beginning when `truncated`. */
export interface KeptReply {
  /** Null: no status line arrived. */
  readonly http_status: number | null
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** The answer was longer than the kept part, or was cut off. */
  readonly truncated: boolean
  /** Received bytes of the body. */
  readonly bytes: number
  /** Why the answer ended early: a short system code; null for a complete answer. */
  readonly cut: string | null
}

/** The kept length of a body: at most 8 KB as UTF-8. */
export const KEPT_BYTES_MAX = 8_192

export type AnswerClass = 'refused' | 'not_found' | 'rate' | 'server_error' | 'silence' | 'unreadable' | 'without_url'

/** The last answer to a poll, unless the answer was "still rendering". */
export interface LastPoll {
  readonly class: AnswerClass
  readonly http_status: number | null
  readonly code: string
  readonly message: string
  readonly at: string
  /** Polls in a row without a usable answer. */
  readonly failures: number
}

/** The class of an unusable answer. `httpStatus` null: there was no answer. */
export function answerClass(httpStatus: number | null): AnswerClass {
  if (httpStatus === null) return 'silence'
  if (httpStatus === 404 || httpStatus === 410) return 'not_found'
  if (httpStatus === 429) return 'rate'
  if (httpStatus >= 500) return 'server_error'
  return httpStatus >= 300 ? 'refused' : 'unreadable'
}

/** Text cut to `bytesMax` bytes of UTF-8. */
export function cutToBytes(text: string, bytesMax: number): string {
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= bytesMax) return text
  return new TextDecoder('utf-8', { fatal: false }).decode(bytes.subarray(0, bytesMax), { stream: true })
}
