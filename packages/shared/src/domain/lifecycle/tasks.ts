// The rules about tasks that were paid for: the task of an earlier submission or attempt is used before another payment,
// and is asked about after the present task has failed.

import { afterMove } from '@reelqueue/contract/terms/status'
import type { LedgerAddition, LedgerChange, Plan } from './plan.ts'
import { currentOf, type LedgerRow, previousTasks, type Snapshot } from './snapshot.ts'

/** The snapshot with changes of its submissions. */
export function withLedger(
  snapshot: Snapshot,
  changes: readonly LedgerChange[],
  added: LedgerAddition | null,
): Snapshot {
  const { nowMs, attempt } = snapshot
  const submissions = snapshot.submissions.map((row) => {
    const change = changes.find(({ id }) => id === row.id)
    return change ? changed(row, change, nowMs) : row
  })
  if (!added) return { ...snapshot, submissions }
  const { id, taskId } = added
  const origin = snapshot.submissions.find((row) => row.id === added.answered)
  const row = origin
    ? { attempt: origin.attempt, startedAtMs: origin.startedAtMs, adoptedAtMs: null }
    : { attempt, startedAtMs: nowMs, adoptedAtMs: nowMs }
  const state = 'accepted' as const
  return {
    ...snapshot,
    submissions: [...submissions, { ...row, id, taskId, state, settledAtMs: nowMs, hasRenderFailed: false }],
  }
}

function changed(row: LedgerRow, change: LedgerChange, nowMs: number): LedgerRow {
  const { state = row.state, taskId = row.taskId, hasRenderFailed = row.hasRenderFailed, isAdopted } = change
  const settledAtMs = change.state === undefined ? row.settledAtMs : nowMs
  const adoptedAtMs = isAdopted === undefined ? row.adoptedAtMs : isAdopted ? nowMs : null
  return { ...row, state, taskId, hasRenderFailed, settledAtMs, adoptedAtMs }
}

/**
 * When the current submission was rejected or is unknown, an accepted task of another submission becomes the
 * generation's own. The alternative would be another payment or a failure.
 * @param snapshot after the outcome was recorded
 * @param answeredId the submission whose outcome was just recorded
 */
export function unusedTask(snapshot: Snapshot, answeredId: string): LedgerRow | null {
  const { status, attempt, errorCode, cancelRequested } = snapshot
  if (cancelRequested || !(status === 'queued' || status === 'submitting' || errorCode === 'submission_unknown'))
    return null
  const current = currentOf(snapshot)
  if (current?.state !== 'rejected' && current?.state !== 'unknown') return null
  const isNew = (row: LedgerRow) => row.settledAtMs !== null && row.settledAtMs > current.startedAtMs
  const unused = previousTasks(snapshot).find(
    (row) => row.id !== current.id && (row.attempt === attempt || row.id === answeredId || isNew(row)),
  )
  return unused ?? null
}

/**
 * Has another task of a failed generation polled, once the current submission can no longer give a video. A late success
 * of the other task still counts.
 */
export function thenAskAbout(snapshot: Snapshot, plan: Plan): Plan {
  const { move, row, ledger, added } = plan
  const status = move === null ? snapshot.status : afterMove(snapshot.status, move)
  const isDue = row.dueMs === undefined ? snapshot.isDue : row.dueMs !== null
  if (status !== 'failed' || isDue) return plan
  const currentSubmissionId = row.currentSubmissionId ?? snapshot.currentSubmissionId
  const after = { ...withLedger(snapshot, ledger, added), currentSubmissionId }
  const current = currentOf(after)
  if (current?.state !== 'rejected' && !current?.hasRenderFailed) return plan
  return { ...plan, askAbout: previousTasks(after)[0]?.id ?? null }
}
