// The pollers: a few BullMQ Job Schedulers, each run of which claims due generations. The time of a generation's poll is the due_at of its
// row; a poller only has to run often, and rests while nothing is due soon.

import { withTimeout } from '../runtime/clock.ts'
import type { JobQueue } from './queue-backend.ts'

/** More pollers than a worker's concurrency, so that several workers stay busy. */
export const POLLERS = 4
/** Busy: the granularity of due times. Resting: often enough to confirm that the pollers exist. */
const EVERY_MS = { busy: 1_000, resting: 300_000 } as const
export type PollerState = keyof typeof EVERY_MS
/** A poller overdue by more than this has lost its schedule and is created again. */
const LOST_AFTER_MS = 30_000
const ANSWER_TIMEOUT_MS = 5_000
const RESTING = '.resting'

/** Whether a job is the run of a busy poller, by the id in the job. Every other job of the queue counts as the run of a resting poller. */
export const isBusyRun = (id: string) => IDS.includes(id)
// The ids are older than the word poller. During a deployment the former version knows the schedulers by these ids.
const IDS: readonly string[] = Array.from({ length: POLLERS }, (_, index) => `lane-${index}`)
/** The poller that decides for all whether to rest. Created last, so that its first run sees the state of all pollers. */
const [DECIDING] = IDS
/** Whether a job is a run of the deciding poller, busy or resting. */
export const isDecidingRun = (id: string) => id === DECIDING || id === `${DECIDING}${RESTING}`

/** The ids of all pollers, by state. */
export type PollersByState = Readonly<Record<PollerState | 'lost', readonly string[]>>

/** Lost pollers are missing or stuck: none in a healthy queue, all in a new or wiped Redis. */
export async function readPollers(poll: JobQueue): Promise<PollersByState> {
  const schedulers = await withTimeout(poll.getJobSchedulers(0, -1), ANSWER_TIMEOUT_MS, 'queue poll')
  const known = new Map(schedulers.map((scheduler) => [scheduler.key, scheduler]))
  const seen = { lost: [] as string[], busy: [] as string[], resting: [] as string[] }
  for (const id of IDS) {
    const { next, every } = known.get(id) ?? {}
    const isLost = !next || next <= Date.now() - LOST_AFTER_MS
    seen[isLost ? 'lost' : every === EVERY_MS.resting ? 'resting' : 'busy'].push(id)
  }
  return seen
}

/**
 * Creates pollers that are lost or in another state: creating a healthy poller again would delay its next run. The first run comes
 * immediately, so that generations that became due while the pollers went to rest are noticed.
 */
export async function ensurePollers(poll: JobQueue, ids: readonly string[], state: PollerState): Promise<void> {
  // A single attempt, nothing retained: the next run follows a failed run.
  const opts = { attempts: 1, removeOnComplete: true, removeOnFail: true }
  const create = (id: string) =>
    poll.upsertJobScheduler(
      id,
      { every: EVERY_MS[state] },
      { name: 'lane', data: { id: state === 'busy' ? id : `${id}${RESTING}` }, opts },
    )
  const creating = Promise.all(ids.filter((id) => id !== DECIDING).map(create)).then(() =>
    Promise.all(ids.filter((id) => id === DECIDING).map(create)),
  )
  await withTimeout(creating, ANSWER_TIMEOUT_MS, 'queue poll')
}
