// What one HTTP exchange with the provider left behind, before anyone says what it means. Pure types: the
// socket side (exchange.ts) fills them, the readers (silence.ts, and those of each provider) judge them.

/** An answer whose status line arrived. `text` may be the beginning only: then `cut` says why. */
export interface Reply {
  readonly kind: 'reply'
  readonly httpStatus: number
  readonly retryAfterMs: number | null
  readonly text: string
  /** Those worth keeping as evidence, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Bytes of the body that came, before they were made text. */
  readonly bytes: number
  readonly cut: 'timeout' | 'connection_lost' | 'too_large' | null
  /** The answer carries the headers of the CDN "Cloudflare" (cdn.ts). */
  readonly isCloudflare?: boolean
}

/** No status line arrived. */
export interface Silence {
  readonly kind: 'silence'
  /** INVARIANT: false only when no byte of the request can have left, now or later. */
  readonly sent: boolean
  readonly timedOut: boolean
  /** Short system code such as ECONNREFUSED; never a message, for messages may quote the request. */
  readonly cause: string
  /** What came that is no HTTP, when anything did. */
  readonly received: string
}
