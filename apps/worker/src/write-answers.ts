// Writes the answers of polls: what has completed is completed at once, what is past its deadline fails, the rest waits for its next
// poll or for the complete step.

import { RENDER_MAX_MS } from '@reelqueue/shared/domain/poll-plan'
import { completeSeen } from '@reelqueue/shared/store/completion'
import { type DuePoll, failOverdue, recordPolls } from '@reelqueue/shared/store/polling'
import type { PollAnswer } from '@reelqueue/shared/upstream/port'
import type { UpstreamDeps } from './deps.ts'
import { readAnswer } from './read-answer.ts'
import { followEnds } from './steps/complete.ts'

export interface Answered {
  readonly poll: DuePoll
  readonly answer: PollAnswer
  /** Requests are better spared. */
  readonly isBusy: boolean
}

/** Writes answers and carries out what follows from them, in as few statements as there are kinds of them. */
export async function writeAnswers(deps: UpstreamDeps, answers: readonly Answered[]): Promise<void> {
  await completeAll(deps, answers.filter(isCompletion))
  const answered = answers.filter((one) => !isCompletion(one))
  if (answered.length === 0) return
  const readings = answered.map(({ poll, answer, isBusy }) => {
    return readAnswer(poll, answer, { schedule: deps.scheduleOf(poll), isBusy }, deps.settings.poll)
  })
  // Before their answers are written, which puts off the next poll: should this process die between, the claim lapses at once.
  for (const code of ['deadline_exceeded', 'completed_without_url', 'adopted_task_unknown'] as const) {
    const overdue = readings.filter((reading) => reading.overdue === code)
    if (overdue.length === 0) continue
    const records = overdue.map((reading) => reading.record)
    const keptMs = code === 'adopted_task_unknown' ? 0 : RENDER_MAX_MS
    const moved = await failOverdue(deps.database, records, code, keptMs)
    deps.queues.wakeOwed(moved)
    deps.log.warn({ event: 'poll.overdue', code, generations: moved.length })
  }
  await recordPolls(
    deps.database,
    readings.map((reading) => reading.record),
  )
  const ended = readings.filter((reading) => reading.record.answer !== null)
  deps.queues.wake(
    'complete',
    ended.map(({ record }) => ({ id: record.id, wakes: record.wakes + 1 })),
  )
}

/** The ordinary end, which needs no step of its own. */
const isCompletion = ({ poll, answer }: Answered) => poll.status === 'processing' && answer.kind === 'completed'

async function completeAll(deps: UpstreamDeps, answered: readonly Answered[]): Promise<void> {
  const seen = answered.flatMap(({ poll, answer }) => (answer.kind === 'completed' ? { ...poll, answer } : []))
  if (seen.length > 0) followEnds(deps, await completeSeen(deps.database, seen))
}
