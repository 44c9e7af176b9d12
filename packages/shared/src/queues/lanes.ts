// The pollers: a few BullMQ Job Schedulers, each run of which claims due generations. The time of a generation's poll is the due_at of its
// row; a poller only has to run often, and rests while nothing is due soon.

import { withTimeout } from '../runtime/clock.ts'
import type { JobQueue } from './backend.ts'

/** More pollers than a worker's concurrency, so that several workers stay busy. */
export const LANES = 4
/** Busy: the granularity of due times. Resting: often enough to confirm that the pollers exist. */
const EVERY_MS = { busy: 1_000, resting: 300_000 } as const
export type Pace = keyof typeof EVERY_MS
/** A poller overdue by more than this has lost its schedule and is created again. */
const LOST_AFTER_MS = 30_000
const ANSWER_TIMEOUT_MS = 5_000
const RESTING = '.resting'

/** Whether a job is the run of a busy poller, by the id in the job. Every other job of the queue counts as the run of a resting poller. */
export const isBusyRun = (id: string) => IDS.includes(id)
const IDS: readonly string[] = Array.from({ length: LANES }, (_, lane) => `lane-${lane}`)
/** The poller that decides for all whether to rest. Created last, so that its first run sees the pace of all pollers. */
const [DECIDING] = IDS
/** Whether a job is a run of the deciding poller, busy or resting. */
export const isDecidingRun = (id: string) => id === DECIDING || id === `${DECIDING}${RESTING}`

/** The ids of all pollers, by state. */
export type LanesSeen = Readonly<Record<Pace | 'lost', readonly string[]>>

/** Lost pollers are missing or stuck: none in a healthy queue, all in a new or wiped Redis. */
export async function lookAtLanes(poll: JobQueue): Promise<LanesSeen> {
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
 * Creates pollers that are lost or have another pace: creating a healthy poller again would delay its next run. The first run comes
 * immediately, so that generations that became due while the pollers went to rest are noticed.
 */
export async function layLanes(poll: JobQueue, ids: readonly string[], pace: Pace): Promise<void> {
  // A single attempt, nothing retained: the next run follows a failed run.
  const opts = { attempts: 1, removeOnComplete: true, removeOnFail: true }
  const lay = (id: string) =>
    poll.upsertJobScheduler(
      id,
      { every: EVERY_MS[pace] },
      { name: 'lane', data: { id: pace === 'busy' ? id : `${id}${RESTING}` }, opts },
    )
  const laid = Promise.all(ids.filter((id) => id !== DECIDING).map(lay)).then(() =>
    Promise.all(ids.filter((id) => id === DECIDING).map(lay)),
  )
  await withTimeout(laid, ANSWER_TIMEOUT_MS, 'queue poll')
}
