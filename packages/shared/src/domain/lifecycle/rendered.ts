// What follows from a terminal answer about the row's task.

import type { Found } from './outcome.ts'
import { NOTHING, type Plan } from './plan.ts'
import { currentOf, type Snapshot } from './snapshot.ts'

/** Carries out the terminal answer stored on the row; nothing without a stored answer. */
export function rendered(snapshot: Snapshot): Plan {
  const { status, answer, taskId, submissions } = snapshot
  if (answer === null || (status !== 'processing' && status !== 'failed')) return NOTHING
  const isLate = status === 'failed'
  // After a deadline the slot was kept for this very render. Otherwise the slot is kept for another render.
  const slot = isLate ? { slotMs: null } : {}
  if (answer.kind === 'completed') return { ...NOTHING, move: isLate ? 'completeLate' : 'complete', row: slot }
  const failed = submissions.find((row) => row.taskId !== null && row.taskId === taskId)
  const ledger = failed ? [{ id: failed.id, hasRenderFailed: true }] : []
  const ended = { answer: null, dueMs: null, ...slot }
  // The provider confirms the failure of a generation that had failed already: there is no second event.
  if (isLate) return { ...NOTHING, ledger, row: ended }
  const { code, message, cost } = answer
  return { ...NOTHING, ledger, move: 'fail', row: { ...ended, error: { code, message }, cost } }
}

/** A queued retry takes the video of a previous attempt, unless a submission has begun. Then the row has the answer. */
export function found(snapshot: Snapshot, { taskId, answer }: Found): Plan {
  const { status, submissions } = snapshot
  const owner = submissions.find((row) => row.taskId === taskId)
  if (!owner || (status !== 'queued' && status !== 'submitting') || currentOf(snapshot)?.state === 'started')
    return NOTHING
  const row = { currentSubmissionId: owner.id, taskId, renderFrom: 'seen', answer, dueMs: 0, slotMs: null } as const
  return { ...NOTHING, move: 'resume', row }
}
