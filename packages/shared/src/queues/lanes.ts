// The polling lanes: a few BullMQ Job Schedulers whose runs each claim whatever generations are due. A generation's timing is its
// row's due_at; a lane only has to come by often, and rests while nothing is due soon.

import { withTimeout } from '../runtime/clock.ts'
import type { JobQueue } from './backend.ts'

/** More lanes than a worker's concurrency, so that several workers stay busy. */
export const LANES = 4
/** Busy: due times have this grain. Resting: often enough to see that the lanes are there. */
const EVERY_MS = { busy: 1_000, resting: 300_000 } as const
export type Pace = keyof typeof EVERY_MS
/** A lane whose next run is overdue by this much has lost its chain and is laid again. */
const LOST_AFTER_MS = 30_000
const ANSWER_TIMEOUT_MS = 5_000
const RESTING = '.resting'

/** A run of a lane, by the id that its job carries. Whatever else is added to the queue is like a run of a resting lane. */
export const isBusyRun = (id: string) => IDS.includes(id)
const IDS: readonly string[] = Array.from({ length: LANES }, (_, lane) => `lane-${lane}`)
/** One of them decides for all whether they may rest. It is laid last, so that its first run sees how all were laid. */
const [DECIDING] = IDS
/** Whether this is a run of that lane, busy or resting. */
export const isDecidingRun = (id: string) => id === DECIDING || id === `${DECIDING}${RESTING}`

/** The ids of all lanes, by how they are. */
export type LanesSeen = Readonly<Record<Pace | 'lost', readonly string[]>>

/** Lost are those that are missing or stuck: none in a healthy queue, all of them in a Redis that is new or wiped. */
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
 * Lays these lanes, which must be lost or at another pace: laying a healthy one again postpones its next run. The first run comes
 * at once, so that whatever became due while lanes went to rest is seen.
 */
export async function layLanes(poll: JobQueue, ids: readonly string[], pace: Pace): Promise<void> {
  // One attempt, nothing kept: a failed run is simply followed by the next one.
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
