// What happened to a generation: the other argument of `decide`.

import type { KeptReply } from '../kept-reply.ts'
import type { TerminalAnswer } from '../terminal-answer.ts'

/** The provider's answer, as stored with the submission. */
export type Kept = KeptReply | null

/** The outcome of a submission. `reply`: the provider's answer, if there was an answer. */
export type SubmissionResult = SubmissionEnd & { readonly reply?: Kept }

export type SubmissionEnd =
  | { readonly kind: 'accepted'; readonly taskId: string }
  | {
      readonly kind: 'rejected'
      readonly code: string
      readonly message: string
      readonly httpStatus: number | null
      readonly retryable: boolean
      /** Back-off before the next submission. Ignored unless `retryable`. */
      readonly backoffMs: number
    }
  | { readonly kind: 'unknown'; readonly code: string; readonly message: string; readonly httpStatus: number | null }

export interface RecordOptions {
  /** Delay before the first poll. */
  readonly firstPollMs: number
  /**
   * The longest plausible render time. A generation that was cancelled during its render keeps its slot for this long.
   */
  readonly renderMaxMs: number
}

/** A submission was answered, or its lease ended without an answer. */
export interface Answered {
  readonly kind: 'answered'
  readonly submissionId: string
  readonly result: SubmissionResult
  readonly options: RecordOptions
  /** Another submission was answered with the same task: the answer says nothing about this submission. */
  readonly isDuplicate: boolean
  /** The refusal is not about this generation (store/refusals.ts). */
  readonly isReleased: boolean
  /** The id of a ledger row, if the answer needs a new row. */
  readonly newId: string
}

/** The terminal answer stored on the row is to be carried out. */
export interface Ended {
  readonly kind: 'ended'
}

export interface Cancelled {
  readonly kind: 'cancel'
  readonly renderMaxMs: number
}

/** A caller wants another attempt. */
export interface Retried {
  readonly kind: 'retry'
}

/** A person has found a task, and the provider knows the task. No other generation has the task. */
export interface Adopted {
  readonly kind: 'adopt'
  readonly taskId: string
  /** The id of a ledger row, if no submission can have made the task. */
  readonly newId: string
}

/** A retry asked about a task of a previous attempt before its payment, and the task has a video. */
export interface Found {
  readonly kind: 'found'
  readonly taskId: string
  readonly answer: TerminalAnswer
}

/** An adopted task turned out to be the answer to a submission of another generation. */
export interface Reclaimed {
  readonly kind: 'reclaimed'
  readonly submissionId: string
  readonly taskId: string
  readonly renderMaxMs: number
}

export type Outcome = Answered | Ended | Cancelled | Retried | Adopted | Found | Reclaimed
