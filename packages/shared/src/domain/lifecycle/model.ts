// A generation in memory: carries out plans like the store. The property tests run histories on the model, and compare
// the model with Postgres.

import { afterMove } from '@reelqueue/contract/terms/status'
import type { Plan } from './plan.ts'
import { type Snapshot, submissionOf } from './snapshot.ts'
import { withLedger } from './tasks.ts'

export interface ModelRow extends Snapshot {
  readonly slotUntilMs: number | null
  /** The dispatch count. */
  readonly dispatchCount: number
  readonly videoUrl: string | null
}

/** @throws Error when the plan moves a status that its move does not allow */
export function carriedOut(before: ModelRow, plan: Plan): ModelRow {
  const { move, row, askAbout } = plan
  const { nowMs } = before
  const status = move === null ? before.status : afterMove(before.status, move)
  if (status === null) throw new Error(`${move} is illegal while the generation is ${before.status}`)
  const isCompleted = move === 'complete' || move === 'completeLate'
  const slot = 'slotMs' in row ? after(nowMs, row.slotMs ?? null) : before.slotUntilMs
  const least = row.slotAtLeastMs === undefined ? slot : Math.max(slot ?? 0, nowMs + row.slotAtLeastMs)
  const moved: ModelRow = {
    ...before,
    submissions: withLedger(before, plan.ledger, plan.added).submissions,
    status,
    slotUntilMs: least,
    currentSubmissionId: row.currentSubmissionId ?? before.currentSubmissionId,
    taskId: row.taskId === undefined ? before.taskId : row.taskId,
    isDue: row.dueMs === undefined ? before.isDue && !isCompleted : row.dueMs !== null,
    mayBeCharged: before.mayBeCharged || row.isCharged === true,
    sinceAdmittedMs:
      row.isAdmitted === undefined ? before.sinceAdmittedMs : row.isAdmitted ? (before.sinceAdmittedMs ?? 0) : null,
    dispatchCount: before.dispatchCount + (row.isDispatchedAnew ? 1 : 0),
    attempt: row.attempt ?? before.attempt,
    errorCode: isCompleted ? null : row.error === undefined ? before.errorCode : (row.error?.code ?? null),
    answer: isCompleted ? null : row.answer === undefined ? before.answer : row.answer,
    cancelRequested: before.cancelRequested || row.isCancelRequested === true,
    videoUrl: isCompleted && before.answer?.kind === 'completed' ? before.answer.videoUrl : before.videoUrl,
  }
  const asked = submissionOf(moved, askAbout)
  return asked ? { ...moved, currentSubmissionId: asked.id, taskId: asked.taskId, isDue: true } : moved
}

const after = (nowMs: number, ms: number | null) => (ms === null ? null : nowMs + ms)
