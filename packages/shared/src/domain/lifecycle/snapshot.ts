// What the store reads of a generation under its row lock: the row, and the submissions that matter for a decision.

import type { Status } from '@reelqueue/contract/terms/status'
import type { TerminalAnswer } from '../terminal-answer.ts'

/** One submission of the ledger. Times are milliseconds of the database's clock. */
export interface LedgerRow {
  readonly id: string
  /** The generation's attempt at the start of the submission. */
  readonly attempt: number
  readonly state: 'started' | 'accepted' | 'rejected' | 'unknown'
  readonly taskId: string | null
  readonly startedAtMs: number
  readonly settledAtMs: number | null
  /** When a person gave the task to the submission; null for a task from the provider's answer. */
  readonly adoptedAtMs: number | null
  /** The provider reported the task as failed. */
  readonly hasRenderFailed: boolean
}

export interface Snapshot {
  readonly id: string
  readonly status: Status
  readonly attempt: number
  readonly policy: 'fail' | 'resubmit'
  readonly errorCode: string | null
  readonly mayBeCharged: boolean
  readonly cancelRequested: boolean
  /** Since the admission; null while the generation waits for admission. */
  readonly sinceAdmittedMs: number | null
  /** The row is due at some time: a step or a poller will look at the row again. */
  readonly isDue: boolean
  /** The upstream task of the row: the pollers ask about this task. */
  readonly taskId: string | null
  /** A terminal answer that no step has carried out yet. */
  readonly answer: TerminalAnswer | null
  readonly currentSubmissionId: string | null
  /** Until the lease or the back-off of the current submission ends; null when neither applies. */
  readonly waitMs: number | null
  /**
   * The oldest submission first. Refused submissions are missing, except for the current submission and the submission
   * of the outcome: a generation that is refused for a day has a thousand of them, and no decision needs them.
   */
  readonly submissions: readonly LedgerRow[]
  readonly nowMs: number
}

/** The provider is not asked about an older task: the link of its video would end soon. */
export const ASKED_ABOUT_MS = 24 * 3_600_000

export function submissionOf({ submissions }: Snapshot, id: string | null): LedgerRow | undefined {
  return submissions.find((row) => row.id === id)
}

export const currentOf = (snapshot: Snapshot) => submissionOf(snapshot, snapshot.currentSubmissionId)

/** The accepted submissions whose task may still give a video: the current submission first, then the latest. */
export function previousTasks({ submissions, currentSubmissionId, nowMs }: Snapshot): LedgerRow[] {
  const previous = submissions.filter(
    (row) => row.state === 'accepted' && !row.hasRenderFailed && row.startedAtMs > nowMs - ASKED_ABOUT_MS,
  )
  const isCurrent = (row: LedgerRow) => row.id === currentSubmissionId
  return [...previous.filter(isCurrent), ...previous.filter((row) => !isCurrent(row)).reverse()]
}

/**
 * Submissions of this attempt that ended unknown. A submission that was accepted after its resubmission had begun was
 * unknown at that moment, and counts.
 */
export function unknownCount({ submissions, attempt, currentSubmissionId }: Snapshot): number {
  return submissions.filter(
    (row) =>
      row.attempt === attempt &&
      (row.state === 'unknown' || (row.state === 'accepted' && row.id !== currentSubmissionId)),
  ).length
}
