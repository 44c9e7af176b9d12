// The moments at which a process of a chaos run can be made to die, named by the queue of the running job. Between two moments lies one
// await: together the moments cover every place where a crash can leave work half done.

import { writeSync } from 'node:fs'

export const WORKER_POINTS = [
  /** In the transaction that would begin a submission, before its first statement. */
  'submit.before-intent',
  /** The intent is written, not committed. */
  'submit.inside-intent',
  /** The intent is committed, nothing is sent. */
  'submit.after-intent',
  /** The provider has the request; no process has the answer. */
  'submit.during-post',
  /** The answer has arrived, and is not recorded. */
  'submit.after-answer',
  /** The answer is written, not committed. */
  'submit.inside-settling',
  /** The answer is committed; no job is enqueued. */
  'submit.after-settling',
  /** All jobs are enqueued; the present job is not done. */
  'submit.before-done',
  /** Rows are claimed, nothing is polled. */
  'poll.claimed',
  /** The provider has answered; the answer is not recorded. */
  'poll.answered',
  /** Answers are committed; no complete job is enqueued. */
  'poll.recorded',
  /** The job is taken, nothing is done. */
  'complete.begun',
  /** The statement that ends a generation has been sent. */
  'complete.moving',
  /** The generation has ended; no job is enqueued. */
  'complete.moved',
  /** The attempt is claimed, nothing is sent. */
  'deliver.claimed',
  /** The receiver has the webhook; the attempt is not recorded. */
  'deliver.sent',
] as const

const API_POINTS = [
  /** A generation is committed, its reply is not sent. */
  'accept.committed',
  /** The transaction of a batch, or of a caller's action on a generation, is committed; the reply is not sent. */
  'accept.transacted',
] as const

export const CRASH_POINTS = [...WORKER_POINTS, ...API_POINTS]
export type CrashPoint = (typeof CRASH_POINTS)[number]

/** The last log line of a process that dies by its plan. */
export const MINE_STRUCK = '{"event":"chaos.mine-struck"}'

/** Reports that a point was passed. Resolves, unless the process dies at this point. */
export type Pass = (point: CrashPoint) => Promise<void>

/**
 * Reads the crash point of this process from `CRASH_POINT`, and the number of the fatal passing from `CRASH_AT` (1 when absent). Without a
 * point nothing happens.
 */
export function crashPlan(env: Readonly<Record<string, string | undefined>>, prepare: () => Promise<void>): Pass {
  const { CRASH_POINT: planned, CRASH_AT: at = '1' } = env
  let left = Number(at)
  return async (point) => {
    if (point !== planned || --left > 0) return
    if (point === 'submit.before-done') await prepare()
    // Written synchronously: the proof that the crash point, and no other cause, ended this process.
    writeSync(process.stdout.fd, `${MINE_STRUCK}\n`)
    process.kill(process.pid, 'SIGKILL')
    // The signal is on its way: no further code may run.
    await new Promise(() => undefined)
  }
}
