// What follows from a request of a person: cancel, retry, adopt; and the loss of an adopted task.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import type { Adopted, Cancelled, Reclaimed } from './outcome.ts'
import { type LedgerChange, NOTHING, type Plan } from './plan.ts'
import { rendered } from './rendered.ts'
import { currentOf, type Snapshot, submissionOf } from './snapshot.ts'

/** Open generations only. While a submission is under way, the request is only noted: its outcome ends the generation. */
export function cancelled(snapshot: Snapshot, { renderMaxMs }: Cancelled): Plan {
  const { status, answer } = snapshot
  if (status !== 'queued' && status !== 'submitting' && status !== 'processing') return NOTHING
  if (answer?.kind === 'completed') return rendered(snapshot)
  if (currentOf(snapshot)?.state === 'started') return { ...NOTHING, row: { isCancelRequested: true } }
  const slot = status === 'processing' ? { slotMs: renderMaxMs } : {}
  return { ...NOTHING, move: 'cancel', row: { dueMs: null, answer: null, ...slot } }
}

/**
 * Queues a failed generation as its next attempt. A success that waits on the row is taken instead. The last submission
 * stays current until the next submission begins: a late answer still saves the payment, and the submit step can ask
 * about the last task first.
 */
export function retried(snapshot: Snapshot): Plan {
  const { status, answer, attempt } = snapshot
  if (status !== 'failed') return NOTHING
  if (answer?.kind === 'completed') return rendered(snapshot)
  const queued = { isAdmitted: false, dueMs: null, answer: null, error: null, isDispatchedAnew: true } as const
  return { ...NOTHING, move: 'retry', row: { ...queued, attempt: attempt + 1 } }
}

/** Whether a submission may have made a task unknown to the ledger. An adopted task may have been the wrong task. */
export function canHaveMadeTask({ submissions }: Snapshot): boolean {
  return submissions.some(
    (row) => row.state === 'unknown' || (row.adoptedAtMs !== null && row.adoptedAtMs > row.startedAtMs),
  )
}

/**
 * Gives a failed generation a task, with a poll due at once. The task settles a submission with an unknown outcome, the
 * current submission first; else the ledger gets a row. A success that waits on the row is taken instead.
 */
export function adopted(snapshot: Snapshot, { taskId, newId }: Adopted): Plan {
  const { status, answer, submissions, currentSubmissionId } = snapshot
  if (status !== 'failed') return NOTHING
  if (answer?.kind === 'completed') return rendered(snapshot)
  const known = submissions.find((row) => row.taskId === taskId)
  const unknown = submissions.filter((row) => row.state === 'unknown')
  const settled = known ?? submissionOf({ ...snapshot, submissions: unknown }, currentSubmissionId) ?? unknown.at(-1)
  const ledger: LedgerChange[] =
    settled && !known
      ? [{ id: settled.id, state: 'accepted', taskId, isAdopted: true, error: null, httpStatus: null }]
      : []
  const id = settled?.id ?? newId
  const row = {
    currentSubmissionId: id,
    taskId,
    renderFrom: 'adoption',
    isCharged: true,
    isDispatchedAnew: true,
    isAdmitted: true,
    dueMs: 0,
    answer: null,
    error: null,
    ...(id === currentSubmissionId && { slotMs: null }),
  } as const
  return { ...NOTHING, move: 'adopt', ledger, row, added: settled ? null : { id, taskId, answered: null } }
}

const RECLAIMED = 'adopted_task_reclaimed'

/**
 * Takes an adopted task away. The submission that had the task becomes unknown again; a ledger row added for the
 * adoption becomes rejected. A processing generation fails again; a failed generation is no longer polled for the task,
 * without a second event. A completed or cancelled generation is final.
 */
export function reclaimed(snapshot: Snapshot, { submissionId, taskId, renderMaxMs }: Reclaimed): Plan {
  const { status, currentSubmissionId, nowMs } = snapshot
  const holder = submissionOf(snapshot, submissionId)
  if (holder?.taskId !== taskId || holder.adoptedAtMs === null) return NOTHING
  const isUnknown = holder.startedAtMs < holder.adoptedAtMs
  const left: LedgerChange = {
    id: submissionId,
    state: isUnknown ? 'unknown' : 'rejected',
    taskId: null,
    isAdopted: false,
    hasRenderFailed: false,
    error: { code: RECLAIMED, message: `${FAILURES[RECLAIMED]} It was ${taskId}.` },
  }
  const ledger = [left]
  if (currentSubmissionId !== submissionId || (status !== 'processing' && status !== 'failed'))
    return { ...NOTHING, ledger }
  const error = isUnknown
    ? { code: 'submission_unknown', message: `${FAILURES.submission_unknown} ${FAILURES[RECLAIMED]}` }
    : { code: RECLAIMED, message: FAILURES[RECLAIMED] }
  // The render of the unknown submission may still be under way.
  const slot = isUnknown ? { slotAtLeastMs: renderMaxMs - (nowMs - holder.startedAtMs) } : {}
  const row = { taskId: null, dueMs: null, answer: null, error, ...slot }
  return { ...NOTHING, ledger, row, move: status === 'processing' ? 'fail' : null }
}
