// Decides the consequences of a poll answer for the row. Pure. A poll never fails a generation; only a terminal answer
// or the deadline does. An adopted task unknown to the provider has a short deadline.

import type { FailureCode } from '@reelqueue/contract/terms/failure'
import { answerClass, type LastPoll } from '@reelqueue/shared/domain/kept-reply'
import {
  ADOPTED_UNKNOWN_MAX_MS,
  latePollMs,
  nextPollMs,
  type PollContext,
  type PollLimits,
} from '@reelqueue/shared/domain/poll-plan'
import type { PollAnswer } from '@reelqueue/shared/providers/port'
import type { DuePoll, PollRecord } from '@reelqueue/shared/store/lifecycle/polling'

export interface Reading {
  readonly record: PollRecord
  /** Set after the deadline without a terminal answer: the failure code to record. */
  readonly overdue: FailureCode | null
}

/** The consequences of an answer for the row. */
export function readAnswer(poll: DuePoll, answer: PollAnswer, context: PollContext, limits: PollLimits): Reading {
  const { id, upstreamTaskId, elapsedMs, dispatchCount } = poll
  const base = { id, upstreamTaskId, dispatchCount }
  if (answer.kind === 'completed' || answer.kind === 'failed') {
    return { record: { ...base, nextMs: 0, sawPending: false, pollFailures: 0, answer }, overdue: null }
  }
  const failures = answer.kind === 'unavailable' ? poll.pollFailures + 1 : 0
  const state = { elapsedMs, failures, retryAfterMs: answer.kind === 'unavailable' ? answer.retryAfterMs : null }
  const saysUnknown = answer.kind === 'unavailable' && answer.isUnknownTask === true
  const isForgotten = poll.isAdopted && saysUnknown && elapsedMs >= ADOPTED_UNKNOWN_MAX_MS
  const isLate = elapsedMs >= limits.deadlineMs || isForgotten
  const withoutUrl = answer.kind === 'pending' && answer.completedWithoutUrl
  // A row to be failed stays due at any age: this process may crash before recording the failure.
  const againMs = isForgotten ? null : latePollMs(state, limits)
  const lateMs = againMs ?? (poll.status === 'processing' ? limits.unknown.intervalMaxMs : null)
  const last = lastPoll(answer, failures)
  const record = {
    ...base,
    nextMs: isLate ? lateMs : nextPollMs(state, context, limits),
    // "Completed" without a link may mean that the day of the video link has begun.
    sawPending: answer.kind === 'pending' && !withoutUrl,
    pollFailures: failures,
    answer: null,
    ...(last ? { lastPoll: last } : {}),
  }
  const code = isForgotten ? 'adopted_task_unknown' : withoutUrl ? 'completed_without_url' : 'deadline_exceeded'
  return { record, overdue: isLate && poll.status === 'processing' ? code : null }
}

/** The stored part of an answer that is neither "pending" nor terminal. */
function lastPoll(answer: PollAnswer, failures: number): LastPoll | null {
  const at = new Date().toISOString()
  if (answer.kind === 'unavailable') {
    const { httpStatus, code, message } = answer
    return { class: answerClass(httpStatus), http_status: httpStatus, code, message, at, failures }
  }
  if (answer.kind !== 'pending' || !answer.completedWithoutUrl) return null
  const message = `The provider says "${answer.status}" but gives no link.`
  return { class: 'without_url', http_status: 200, code: 'completed_without_url', message, at, failures }
}
