// What follows from the outcome of a submission. Every outcome is recorded, however late; the status of the generation
// only limits the consequences.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import { type Consequence, consequenceOf, SUBMIT_RETRY_MAX_MS } from './consequence.ts'
import type { Answered, RecordOptions, SubmissionResult } from './outcome.ts'
import { type LedgerAddition, type LedgerChange, NOTHING, type Plan, type RowChanges } from './plan.ts'
import { type Snapshot, submissionOf, unknownCount } from './snapshot.ts'
import { unusedTask, withLedger } from './tasks.ts'

const UNKNOWN = { code: 'submission_unknown', message: FAILURES.submission_unknown }

/**
 * INVARIANT: a task id is recorded whatever the status of the generation. The first outcome is never overwritten, with
 * one exception: a late `accepted` corrects `unknown`.
 */
export function answered(snapshot: Snapshot, outcome: Answered): Plan {
  const { submissionId, options, isReleased } = outcome
  const result = outcome.isDuplicate ? asDuplicate(outcome.result) : outcome.result
  const recorded = recordedBy(snapshot, { ...outcome, result })
  if (recorded === null) return NOTHING
  const { ledger, added } = recorded
  const after = withLedger(snapshot, ledger, added)
  const isCurrent = added === null && submissionId === snapshot.currentSubmissionId
  const write = (plan: Pick<Plan, 'move' | 'row'>): Plan => ({ ...plan, ledger, added, askAbout: null })

  if (!isCurrent || result.kind !== 'accepted') {
    const unused = unusedTask(after, added?.id ?? submissionId)
    if (unused?.taskId) {
      // The submission that is left may be rendering as well.
      const isLeftUnknown = submissionOf(after, snapshot.currentSubmissionId)?.state === 'unknown'
      const slotMs = isLeftUnknown ? options.renderMaxMs : null
      const row = { ...rendering(unused.taskId, options), currentSubmissionId: unused.id, slotMs }
      return write(snapshot.status === 'submitting' ? { move: 'accept', row } : acceptedLate(row))
    }
  }
  if (isCurrent && result.kind === 'accepted' && isAwaited(snapshot)) {
    // The slot was kept for this very render. A queued retry takes this task instead of paying again.
    return write(acceptedLate({ ...rendering(result.taskId, options), slotMs: null }))
  }
  if (isCurrent && snapshot.status === 'submitting') {
    return write(carriedOut(consequence(after, result, isReleased), result, options))
  }
  // The generation has moved on. No move notes that another render may be charged.
  return write({ move: null, row: result.kind === 'rejected' || snapshot.mayBeCharged ? {} : { isCharged: true } })
}

/** A queued retry, or a generation that failed because its outcome was unknown: the acceptance is taken. */
function isAwaited({ status, errorCode }: Snapshot): boolean {
  return status === 'queued' || (status === 'failed' && errorCode === UNKNOWN.code)
}

const acceptedLate = (row: RowChanges) => ({ move: 'acceptLate', row: { ...row, isAdmitted: true } }) as const

/**
 * Whether a refusal of the submission decides about the generation. Only then the refusal counts for the gate: not after
 * a cancel, and not when another task is taken instead.
 */
export function isRefusalDecisive(snapshot: Snapshot, outcome: Answered): boolean {
  if (outcome.submissionId !== snapshot.currentSubmissionId || snapshot.status !== 'submitting') return false
  const plan = answered(snapshot, outcome)
  return plan.move === 'fail' || plan.move === 'release' || isSubmittedAgain(plan)
}

/** Whether the generation stays `submitting`, and waits for its next submission. */
export const isSubmittedAgain = ({ move, row }: Plan) => move === null && row.dueMs !== undefined

interface Recorded {
  readonly ledger: readonly LedgerChange[]
  readonly added: LedgerAddition | null
}

/**
 * The ledger's record of an outcome; null when an earlier outcome stands. When another task was adopted for the
 * submission, the answer gets a row of its own: both renders have been paid for.
 */
function recordedBy(snapshot: Snapshot, { submissionId, result, newId }: Answered): Recorded | null {
  const own = submissionOf(snapshot, submissionId)
  if (own?.state === 'started' || (own?.state === 'unknown' && result.kind === 'accepted')) {
    return { ledger: [recordOf(submissionId, result)], added: null }
  }
  const isOther = result.kind === 'accepted' && own?.taskId != null && own.taskId !== result.taskId
  return isOther ? { ledger: [], added: { id: newId, taskId: result.taskId, answered: submissionId } } : null
}

function recordOf(id: string, result: SubmissionResult): LedgerChange {
  const reply = result.reply ? { reply: result.reply } : {}
  if (result.kind === 'accepted') {
    return { id, state: 'accepted', taskId: result.taskId, httpStatus: null, error: null, retryMs: null, ...reply }
  }
  const { kind: state, httpStatus, code, message } = result
  const retryMs = result.kind === 'rejected' && result.retryable ? result.backoffMs : null
  return { id, state, taskId: null, httpStatus, error: { code, message }, retryMs, ...reply }
}

/** A task has only one submission. A second submission with the same task is recorded as unknown. */
function asDuplicate(result: SubmissionResult): SubmissionResult {
  if (result.kind !== 'accepted') return result
  const message = `The provider named the task ${result.taskId}, which belongs to another submission.`
  return { kind: 'unknown', code: 'duplicate_task_id', message, httpStatus: null, reply: result.reply ?? null }
}

/** @param after the snapshot with the outcome in its ledger */
function consequence(after: Snapshot, result: SubmissionResult, isReleased: boolean): Consequence {
  return consequenceOf(
    result.kind === 'rejected'
      ? { state: 'rejected', retryable: result.retryable, isReleased }
      : { state: result.kind },
    {
      cancelRequested: after.cancelRequested,
      policy: after.policy,
      unknownCount: unknownCount(after),
      retriesExhausted: (after.sinceAdmittedMs ?? 0) > SUBMIT_RETRY_MAX_MS,
    },
  )
}

function carriedOut(
  consequence: Consequence,
  result: SubmissionResult,
  options: RecordOptions,
): Pick<Plan, 'move' | 'row'> {
  // A task that may be rendering keeps its slot, whatever the next status of the generation.
  const left: RowChanges =
    result.kind === 'rejected' ? {} : { isCharged: true, slotMs: keptMs(result, options.renderMaxMs) }
  const taskId = result.kind === 'accepted' ? result.taskId : null
  switch (consequence) {
    case 'process':
      return { move: 'accept', row: rendering(taskId ?? '', options) }
    case 'cancel':
      return { move: 'cancel', row: { taskId, dueMs: null, ...left } }
    case 'submit_again':
      return { move: null, row: { dueMs: result.kind === 'rejected' ? result.backoffMs : 0, ...left } }
    case 'release':
      return { move: 'release', row: { isAdmitted: false, dueMs: null, isDispatchedAnew: true } }
    case 'fail': {
      const { code, message } = result.kind === 'rejected' ? result : UNKNOWN
      return { move: 'fail', row: { error: { code, message }, dueMs: null, ...left } }
    }
  }
}

/** The row of a generation whose task is polled from now on. */
function rendering(taskId: string, { firstPollMs }: RecordOptions): RowChanges {
  return { taskId, renderFrom: 'submission', isCharged: true, error: null, dueMs: firstPollMs }
}

/** How long the slot is kept. A 5xx answer seldom means a started render, so the time is shorter than after silence. */
function keptMs(result: SubmissionResult, renderMaxMs: number): number {
  return result.kind === 'unknown' && (result.httpStatus ?? 0) >= 500 ? renderMaxMs / 3 : renderMaxMs
}
