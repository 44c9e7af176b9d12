// Snapshots and outcomes for the tests of `decide`.

import type { Answered, SubmissionResult } from './outcome.ts'
import type { LedgerRow, Snapshot } from './snapshot.ts'

const OPTIONS = { firstPollMs: 1_000, renderMaxMs: 60_000 }
export const NOW = 1_000_000_000
export const ACCEPTED: SubmissionResult = { kind: 'accepted', taskId: 'task_new' }
export const UNKNOWN = { kind: 'unknown', code: 'timeout', message: 'no answer', httpStatus: null } as const
export const BUSY = {
  kind: 'rejected',
  code: 'busy',
  message: 'later',
  httpStatus: 429,
  retryable: true,
  backoffMs: 5,
} as const
export const REFUSED = { ...BUSY, code: 'refused', retryable: false } as const

/** Submission `a` is older than `b`, and so on. */
export function submission(id: string, state: LedgerRow['state'], fields: Partial<LedgerRow> = {}): LedgerRow {
  const taskId = state === 'accepted' ? `task_${id}` : null
  const startedAtMs = NOW - 10_000 + id.charCodeAt(0)
  const settledAtMs = state === 'started' ? null : startedAtMs
  return {
    id,
    state,
    taskId,
    attempt: 1,
    startedAtMs,
    settledAtMs,
    adoptedAtMs: null,
    hasRenderFailed: false,
    ...fields,
  }
}

/** The last submission is the current one. */
export function generation(
  status: Snapshot['status'],
  submissions: LedgerRow[],
  fields: Partial<Snapshot> = {},
): Snapshot {
  const current = submissions.at(-1)
  return {
    id: 'gen',
    status,
    submissions,
    attempt: 1,
    policy: 'fail',
    errorCode: null,
    mayBeCharged: false,
    cancelRequested: false,
    sinceAdmittedMs: 0,
    isDue: status === 'processing',
    taskId: status === 'processing' ? (current?.taskId ?? null) : null,
    answer: null,
    currentSubmissionId: current?.id ?? null,
    waitMs: null,
    nowMs: NOW,
    ...fields,
  }
}

export const answeredBy = (
  submissionId: string,
  result: SubmissionResult,
  fields: Partial<Answered> = {},
): Answered => ({
  kind: 'answered',
  submissionId,
  result,
  options: OPTIONS,
  isDuplicate: false,
  isReleased: false,
  newId: 'z',
  ...fields,
})
export const open = (fields?: Partial<Snapshot>) => generation('submitting', [submission('a', 'started')], fields)
export const unknownFailure = { errorCode: 'submission_unknown', mayBeCharged: true }
