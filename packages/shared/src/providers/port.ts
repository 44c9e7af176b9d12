// The port of all providers. Answers are values, never exceptions. Each answer states only certain facts, because a
// submission is paid and must not be repeated on a guess.

import type { KeptReply } from '../domain/kept-reply.ts'
import type { Ping } from '../domain/ping.ts'
import type { ProviderFacts } from '../domain/provider-facts.ts'
import type { RefusalClass } from '../domain/refusal.ts'
import type { RenderRequest } from '../domain/render-request.ts'
import type { TerminalAnswer } from '../domain/terminal-answer.ts'
import type { UpstreamModels } from '../domain/upstream-models.ts'

/** The outcome of a paid submission. */
export type SubmitOutcome = SubmitReading & {
  /** The stored reply; null or absent without a reply. */
  readonly reply?: KeptReply | null
}

/** The meaning of a reply. */
export type SubmitReading =
  /** The provider accepted the task and returned the id. */
  | { readonly kind: 'accepted'; readonly taskId: string }
  /**
   * Certainly not accepted. `retryable`: the same request may succeed later (429, refused connection); otherwise the
   * provider refused this request. `retryAfterMs` is null without a hint.
   */
  | {
      readonly kind: 'rejected'
      /** The cause of the refusal, decided by the adapter. */
      readonly class: RefusalClass
      readonly code: string
      readonly message: string
      readonly httpStatus: number | null
      readonly retryable: boolean
      readonly retryAfterMs: number | null
    }
  /**
   * The task may exist and may have been charged; no look-up is possible. Never submit again unless the caller asked
   * for a resubmission.
   */
  | { readonly kind: 'unknown'; readonly code: string; readonly message: string; readonly httpStatus: number | null }

export type PollAnswer =
  | TerminalAnswer
  /** Still rendering. `completedWithoutUrl`: the provider reported completion without a link, so poll again. */
  | { readonly kind: 'pending'; readonly status: string; readonly completedWithoutUrl: boolean }
  /** No usable answer (error, 404, garbage, silence): says nothing about the task. */
  | {
      readonly kind: 'unavailable'
      /** Null without a reply. */
      readonly httpStatus: number | null
      readonly code: string
      readonly message: string
      readonly retryAfterMs: number | null
      /**
       * The provider does not know the task. For an id returned by the provider this proves nothing: the provider
       * forgets tasks after a day.
       */
      readonly isUnknownTask?: boolean
    }

/** The name is stored with every task id: ids are unique only within an upstream. */
export interface Upstream extends UpstreamModels {
  readonly facts: ProviderFacts
  /** Submits once; network and provider errors never throw. */
  submit(request: RenderRequest): Promise<SubmitOutcome>
  /** Polls a task; network and provider errors never throw. */
  poll(taskId: string): Promise<PollAnswer>
  /** Sends a free request, to learn whether the provider is there; network and provider errors never throw. */
  ping(): Promise<Ping>
  /** Waits for running submissions, aborts polls, then closes the connections. */
  close(): Promise<void>
}

/** The account of a provider, and how to reach the provider. */
export interface UpstreamOptions {
  /** With or without a trailing slash or `/v1`. */
  readonly baseUrl: string
  readonly apiKey: string
  /** Time limit of a create, from connecting to the last byte of the reply; a poll has the shorter `pollTimeoutMs`. */
  readonly timeoutMs: number
  /** The proxy's URL, including a password; absent or null: no proxy. */
  readonly proxy?: string | null
}

/** A provider in the registry. */
export interface Provider extends UpstreamModels {
  readonly facts: ProviderFacts
  /** @throws Error for an unusable base URL or key; later calls never throw */
  open(options: UpstreamOptions): Upstream
}
