// What is kept of the provider's answers: the reply to a create, which may have been paid for, and the last answer to a
// poll. Both are bounded, storable in Postgres, and free of the key.

/** The reply to a create, as it came; `body` is its beginning when `truncated`. */
export interface KeptReply {
  /** Null: no status line came. */
  readonly http_status: number | null
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
  /** More came than is kept, or the answer was cut off. */
  readonly truncated: boolean
  /** Bytes of the body that came. */
  readonly bytes: number
  /** Why the answer ended early: a short system code; null when it did not. */
  readonly cut: string | null
}

/** Characters of a body that are kept: at most 8 KB as UTF-8. */
export const KEPT_BYTES_MAX = 8_192

export type AnswerClass = 'refused' | 'not_found' | 'rate' | 'server_error' | 'silence' | 'unreadable' | 'without_url'

/** The last answer to a poll that was not "still rendering". */
export interface LastPoll {
  readonly class: AnswerClass
  readonly http_status: number | null
  readonly code: string
  readonly message: string
  readonly at: string
  /** Polls in a row without a usable answer. */
  readonly failures: number
}

/** What kind of answer an unusable one is. `httpStatus` null: there was none. */
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
