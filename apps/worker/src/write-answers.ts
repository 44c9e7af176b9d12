// Writes poll answers: completed generations are completed at once, generations past the deadline fail, and the rest
// waits for the next poll or the complete step.

import type { PollAnswer } from '@reelqueue/shared/providers/port'
import { completeSeen } from '@reelqueue/shared/store/lifecycle/completion'
import { type DuePoll, failOverdue, recordPolls } from '@reelqueue/shared/store/lifecycle/polling'
import { refusedAmong } from '@reelqueue/shared/store/unstorable'
import type { UpstreamDeps } from './deps.ts'
import { readAnswer } from './read-answer.ts'

export interface Answered {
  readonly poll: DuePoll
  readonly answer: PollAnswer
  /** The upstream should get fewer requests. */
  readonly isBusy: boolean
}

/** Writes answers and the consequences, with one statement for each kind of answer. */
export async function writeAnswers(deps: UpstreamDeps, answers: readonly Answered[]): Promise<void> {
  await completeAll(deps, answers.filter(isCompletion))
  const answered = answers.filter((one) => !isCompletion(one))
  if (answered.length > 0) await recordAll(deps, answered)
  await failUnstorable(deps, answers)
}

async function recordAll(deps: UpstreamDeps, answered: readonly Answered[]): Promise<void> {
  const readings = answered.map(({ poll, answer, isBusy }) => {
    return readAnswer(poll, answer, { schedule: deps.scheduleOf(poll), isBusy }, deps.settings.poll)
  })
  const failed = new Set<string>()
  // Failing comes before the answers are written, because a written answer delays the next poll. After a crash in
  // between, the rows are due again at the end of the claim.
  for (const code of ['deadline_exceeded', 'completed_without_url', 'adopted_task_unknown'] as const) {
    const overdue = readings.filter((reading) => reading.overdue === code)
    if (overdue.length === 0) continue
    const records = overdue.map((reading) => reading.record)
    const keptMs = code === 'adopted_task_unknown' ? 0 : deps.upstream.facts.renderMaxMs
    const moved = await failOverdue(deps.database, records, code, keptMs)
    deps.afterCommit({ moved })
    for (const { id } of moved) failed.add(id)
    deps.log.warn({ event: 'poll.overdue', code, generations: moved.length })
  }
  // A generation that should have failed and did not stays due, so the answer is not written.
  const records = readings.filter(({ record, overdue }) => overdue === null || failed.has(record.id))
  await recordPolls(
    deps.database,
    records.map((reading) => reading.record),
  )
  const ended = readings.filter((reading) => reading.record.answer !== null)
  deps.afterCommit({
    due: { complete: ended.map(({ record }) => ({ id: record.id, dispatchCount: record.dispatchCount + 1 })) },
  })
}

/**
 * Fails generations with an answer, past the deadline, and refused by Postgres just now: Postgres never accepts the
 * answer. A row that was only locked is due again. The answer is not logged, because the link is a secret; the provider
 * gives the answer again for the task id.
 */
async function failUnstorable(deps: UpstreamDeps, answers: readonly Answered[]): Promise<void> {
  const late = answers.filter(({ poll, answer }) => {
    const hasEnded = answer.kind === 'completed' || answer.kind === 'failed'
    return hasEnded && poll.status === 'processing' && poll.elapsedMs >= deps.settings.poll.deadlineMs
  })
  if (late.length === 0) return
  const ids = late.map(({ poll }) => poll.id)
  // A claim excludes rows already noted as unstorable, so these notes are newer than the claim.
  const refused = await refusedAmong(deps.database, ids)
  const polls = late.map(({ poll }) => poll).filter(({ id }) => refused.has(id))
  const moved = await failOverdue(deps.database, polls, 'unstorable_answer', deps.upstream.facts.renderMaxMs)
  deps.afterCommit({ moved })
  for (const { poll, answer } of late) {
    if (!moved.some(({ id }) => id === poll.id)) continue
    deps.log.error({
      event: 'poll.unstorable',
      generationId: poll.id,
      upstreamTaskId: poll.upstreamTaskId,
      answer: answer.kind,
      sqlState: refused.get(poll.id),
    })
  }
}

/** The ordinary end, written without the complete step. */
const isCompletion = ({ poll, answer }: Answered) => poll.status === 'processing' && answer.kind === 'completed'

async function completeAll(deps: UpstreamDeps, answered: readonly Answered[]): Promise<void> {
  const seen = answered.flatMap(({ poll, answer }) => (answer.kind === 'completed' ? { ...poll, answer } : []))
  if (seen.length === 0) return
  const moved = await completeSeen(deps.database, seen)
  deps.afterCommit({ moved, rendered: moved })
  for (const { id } of moved) deps.log.info({ event: 'complete.done', generationId: id })
}
