// One run of a polling lane: claims whatever generations are due, asks about them side by side, writes the answers back.
// A poll never fails a generation; only a terminal answer or the deadline does.

import type { FailureCode } from '@reelqueue/shared/domain/failure'
import { answerClass, type LastPoll } from '@reelqueue/shared/domain/kept-reply'
import {
  latePollMs,
  nextPollMs,
  type PollContext,
  type PollLimits,
  RENDER_MAX_MS,
} from '@reelqueue/shared/domain/poll-plan'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { pause } from '@reelqueue/shared/runtime/clock'
import { completeSeen } from '@reelqueue/shared/store/completion'
import {
  claimDuePolls,
  type DuePoll,
  failOverdue,
  type PollRecord,
  recordPolls,
  releasePolls,
} from '@reelqueue/shared/store/polling'
import { giveBackRequests, takeRequests } from '@reelqueue/shared/store/submitting-gate'
import type { PollAnswer } from '@reelqueue/shared/upstream/port'
import type { UpstreamDeps } from '../deps.ts'
import { keepPace } from '../lane-pace.ts'
import { followEnds } from './complete.ts'

/** Generations claimed at once; all of them are asked about side by side. */
const PAGE = 100
/** So many in one run are many. */
const BUSY_POLLS = 500
/** A run ends after this long even while rows are due: the next one, perhaps elsewhere, goes on. */
const RUN_MAX_MS = 5_000
/** Added to the request's own time: after that a claim of a dead worker lapses. */
const LEASE_MARGIN_MS = 15_000
/** Answers are written this often, so that one slow answer does not hold up the others. */
const WRITE_EVERY_MS = 250

/** `runId`: which lane comes by. */
export async function pollLane(deps: UpstreamDeps, runId: string, signal: AbortSignal): Promise<StepOutcome> {
  const beganAt = performance.now()
  const leaseMs = deps.settings.upstreamTimeoutMs + LEASE_MARGIN_MS
  let polls = 0
  let claimed: number
  do {
    const page = await allowed(deps)
    const due = page === 0 ? [] : await claimDuePolls(deps.database, page, leaseMs)
    claimed = due.length
    if (claimed < page) await giveBack(deps, page - claimed)
    polls += claimed
    await askAll(deps, due, page < PAGE || polls > BUSY_POLLS, signal)
  } while (claimed === PAGE && performance.now() - beganAt < RUN_MAX_MS && !signal.aborted)
  if (polls > 0) deps.log.info({ event: 'poll.run', polls, durationMs: Math.round(performance.now() - beganAt) })
  if (!signal.aborted) await keepPace(deps, runId, polls > 0)
  return { kind: 'done' }
}

/** How many may be asked about now. */
async function allowed({ database, upstream, settings }: UpstreamDeps): Promise<number> {
  const { requestsPerMinute } = settings
  return requestsPerMinute === undefined ? PAGE : await takeRequests(database, upstream.name, PAGE, requestsPerMinute)
}

async function giveBack({ database, upstream, settings }: UpstreamDeps, unused: number): Promise<void> {
  if (settings.requestsPerMinute !== undefined) await giveBackRequests(database, upstream.name, unused)
}

/** `isBusy`: requests are better spared. */
async function askAll(
  deps: UpstreamDeps,
  due: readonly DuePoll[],
  isBusy: boolean,
  signal: AbortSignal,
): Promise<void> {
  const write = async (answers: readonly Answered[]) => writeAll(deps, answers, isBusy)
  const unanswered = new Set(due)
  const answered: Answered[] = []
  const asking = Promise.all(
    due.map(async (poll) => {
      const answer = await deps.upstream.poll(poll.upstreamTaskId)
      unanswered.delete(poll)
      answered.push({ poll, answer })
    }),
  )
  const ended = new AbortController()
  const all = asking.finally(() => ended.abort())
  while (!ended.signal.aborted && !signal.aborted) {
    await pause(WRITE_EVERY_MS, ended.signal)
    await write(answered.splice(0))
  }
  if (signal.aborted) {
    // A stop does not wait for slow answers: nothing was paid for them, and another worker asks again.
    all.catch(() => undefined)
    const unasked = [...unanswered].map((poll) => poll.id)
    await write(answered.splice(0))
    await releasePolls(deps.database, unasked)
    return
  }
  await all
  await write(answered.splice(0))
}

export interface Answered {
  readonly poll: DuePoll
  readonly answer: PollAnswer
}

async function writeAll(deps: UpstreamDeps, answers: readonly Answered[], isBusy: boolean): Promise<void> {
  await completeAll(deps, answers.filter(isCompletion))
  const answered = answers.filter((one) => !isCompletion(one))
  if (answered.length === 0) return
  const readings = answered.map((one) => {
    return readAnswer(one, { schedule: deps.scheduleOf(one.poll), isBusy }, deps.settings.poll)
  })
  // Before their answers are written, which puts off the next poll: should this process die between, the claim lapses at once.
  for (const code of ['deadline_exceeded', 'completed_without_url'] as const) {
    const overdue = readings.filter((reading) => reading.overdue === code)
    if (overdue.length === 0) continue
    const records = overdue.map((reading) => reading.record)
    const moved = await failOverdue(deps.database, records, code, RENDER_MAX_MS)
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

export interface Reading {
  readonly record: PollRecord
  /** Past its deadline without a terminal answer: to be failed with this code. */
  readonly overdue: FailureCode | null
}

/** What one answer means for its row. Pure. */
export function readAnswer({ poll, answer }: Answered, context: PollContext, limits: PollLimits): Reading {
  const { id, upstreamTaskId, elapsedMs, wakes } = poll
  const base = { id, upstreamTaskId, wakes }
  if (answer.kind === 'completed' || answer.kind === 'failed') {
    return { record: { ...base, nextMs: 0, sawPending: false, pollFailures: 0, answer }, overdue: null }
  }
  const failures = answer.kind === 'unavailable' ? poll.pollFailures + 1 : 0
  const state = { elapsedMs, failures, retryAfterMs: answer.kind === 'unavailable' ? answer.retryAfterMs : null }
  const isLate = elapsedMs >= limits.deadlineMs
  const withoutUrl = answer.kind === 'pending' && answer.completedWithoutUrl
  // A row that is still to be failed stays due whatever its age: this process may die before it does so.
  const lateMs = latePollMs(state) ?? (poll.status === 'processing' ? limits.unknown.intervalMaxMs : null)
  const last = lastPoll(answer, failures)
  const record = {
    ...base,
    nextMs: isLate ? lateMs : nextPollMs(state, context, limits),
    // Claiming to be done without a link may mean that the video's day has begun.
    sawPending: answer.kind === 'pending' && !withoutUrl,
    pollFailures: failures,
    answer: null,
    ...(last ? { lastPoll: last } : {}),
  }
  const code = withoutUrl ? 'completed_without_url' : 'deadline_exceeded'
  return { record, overdue: isLate && poll.status === 'processing' ? code : null }
}

/** What is kept of an answer that is neither "still rendering" nor the end. */
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
