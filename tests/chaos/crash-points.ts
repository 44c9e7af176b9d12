// The moments at which a process of a chaos run can be made to die, named by the queue whose work it was at. What lies
// between two of them is one await: together they are every place where a crash can leave something half done.

import { writeSync } from 'node:fs'

export const WORKER_POINTS = [
  /** In the transaction that would begin a submission, before its first statement. */
  'submit.before-intent',
  /** The intent is written, not committed. */
  'submit.inside-intent',
  /** The intent is committed, nothing is sent. */
  'submit.after-intent',
  /** The provider has the request, nobody has its answer. */
  'submit.during-post',
  /** The answer is there, on no record. */
  'submit.after-answer',
  /** The answer is written, not committed. */
  'submit.inside-settling',
  /** The answer is committed, nobody is woken. */
  'submit.after-settling',
  /** Everybody is woken, the job is not done. */
  'submit.before-done',
  /** Rows are claimed, nothing is asked. */
  'poll.claimed',
  /** The provider has answered, on no record. */
  'poll.answered',
  /** Answers are committed, complete is not woken. */
  'poll.recorded',
  /** The job is taken, nothing is done. */
  'complete.begun',
  /** The statement that ends a generation is on its way. */
  'complete.moving',
  /** The generation has ended, nobody is woken. */
  'complete.moved',
  /** The attempt is claimed, nothing is sent. */
  'deliver.claimed',
  /** The receiver has the webhook, the attempt is on no record. */
  'deliver.sent',
] as const

const API_POINTS = [
  /** A generation is committed, its reply is not sent. */
  'accept.committed',
  /** The transaction of a batch, or of what a caller asked of a generation, is committed; the reply is not sent. */
  'accept.transacted',
] as const

export const CRASH_POINTS = [...WORKER_POINTS, ...API_POINTS]
export type CrashPoint = (typeof CRASH_POINTS)[number]

/** The log line that a process leaves which dies by its plan. */
export const MINE_STRUCK = '{"event":"chaos.mine-struck"}'

/** Says that a point was passed. Resolves, unless this process was to die there. */
export type Pass = (point: CrashPoint) => Promise<void>

/**
 * The point at which this process is to die, from `CRASH_POINT`, and at which passing of it, from `CRASH_AT` (1 when absent).
 * Without a point nothing ever happens.
 */
export function crashPlan(env: Readonly<Record<string, string | undefined>>, prepare: () => Promise<void>): Pass {
  const { CRASH_POINT: planned, CRASH_AT: at = '1' } = env
  let left = Number(at)
  return async (point) => {
    if (point !== planned || --left > 0) return
    if (point === 'submit.before-done') await prepare()
    // Written at once: the proof that it was the mine, and nothing else, that ended this process.
    writeSync(process.stdout.fd, `${MINE_STRUCK}\n`)
    process.kill(process.pid, 'SIGKILL')
    // The signal is on its way: nothing may happen in between.
    await new Promise(() => undefined)
  }
}
