// The result of an HTTP exchange with the provider, before interpretation. Pure types: exchange.ts creates the values,
// no-answer.ts and the readers of each provider interpret the values.

/** A reply with a status line. If `text` is only the beginning of the body, `cut` gives the reason. */
export interface Reply {
  readonly kind: 'reply'
  readonly httpStatus: number
  readonly retryAfterMs: number | null
  readonly text: string
  /** Headers kept as evidence, by lower-case name. */
  readonly headers: Readonly<Record<string, string>>
  /** Received bytes of the body, before decoding. */
  readonly bytes: number
  readonly cut: 'timeout' | 'connection_lost' | 'too_large' | null
  /** The reply carries the headers of the CDN "Cloudflare" (cdn.ts). */
  readonly isCloudflare?: boolean
}

/** No status line arrived. */
export interface NoAnswer {
  readonly kind: 'silence'
  /** INVARIANT: false only when no byte of the request can have left, now or later. */
  readonly sent: boolean
  readonly timedOut: boolean
  /** A short system code such as ECONNREFUSED; never a message, because messages may quote the request. */
  readonly cause: string
  /** Received bytes that are not HTTP, or empty. */
  readonly received: string
}
