// The one small port behind which a provider stands. Answers are values, never exceptions: each says
// what is certain, because a submission is paid and must not be repeated on a guess.

import type { KeptReply } from '../domain/kept-reply.ts'
import type { RefusalClass } from '../domain/refusal.ts'
import type { RenderRequest } from '../domain/render-request.ts'
import type { TerminalAnswer } from '../domain/terminal-answer.ts'

/** What became of one paid submission. */
export type SubmitOutcome = SubmitReading & {
  /** What was answered, as it is kept; null or absent: nothing was. */
  readonly reply?: KeptReply | null
}

/** What an answer means. */
export type SubmitReading =
  /** The provider has the task and named it. */
  | { readonly kind: 'accepted'; readonly taskId: string }
  /**
   * Certainly not accepted. `retryable`: the same request may succeed later (429, refused connection);
   * otherwise the provider said no to this very request. `retryAfterMs` is null when it gave no hint.
   */
  | {
      readonly kind: 'rejected'
      /** Whose fault it is, as the adapter decided. */
      readonly class: RefusalClass
      readonly code: string
      readonly message: string
      readonly httpStatus: number | null
      readonly retryable: boolean
      readonly retryAfterMs: number | null
    }
  /** The task may exist and may have been charged; nothing can look it up. Never submit again unasked. */
  | { readonly kind: 'unknown'; readonly code: string; readonly message: string; readonly httpStatus: number | null }

export type PollAnswer =
  | TerminalAnswer
  /** Still rendering. `completedWithoutUrl`: it claims to be done but gave no link, so ask again. */
  | { readonly kind: 'pending'; readonly status: string; readonly completedWithoutUrl: boolean }
  /** No usable answer (error, 404, garbage, silence): says nothing about the task. */
  | {
      readonly kind: 'unavailable'
      /** Null: there was no answer. */
      readonly httpStatus: number | null
      readonly code: string
      readonly message: string
      readonly retryAfterMs: number | null
      /** It says that it knows no such task. Of one that it had named itself that proves nothing: it forgets them after a day. */
      readonly isUnknownTask?: boolean
    }

export interface Upstream {
  /** Stored beside every task id: ids are unique per upstream only. */
  readonly name: string
  /** Submits once; never throws for anything the network or provider does. */
  submit(request: RenderRequest): Promise<SubmitOutcome>
  /** Asks about one task; never throws for anything the network or provider does. */
  poll(taskId: string): Promise<PollAnswer>
  /** Lets submissions under way end and cuts polls off; then closes the connections. */
  close(): Promise<void>
}
