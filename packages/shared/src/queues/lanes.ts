// The polling lanes: a few BullMQ Job Schedulers whose runs each claim whatever generations are due. A generation's
// timing is its row's due_at; a lane only has to come by often.

import { withTimeout } from '../runtime/clock.ts'
import type { JobQueue } from './backend.ts'

/** More lanes than a worker's concurrency, so that several workers stay busy. */
export const LANES = 4
const LANE_EVERY_MS = 1_000
/** A lane whose next run is overdue by this much has lost its chain and is laid again. */
const LOST_AFTER_MS = 30_000
const ANSWER_TIMEOUT_MS = 5_000

/** The ids of the lanes that are missing or stuck: none in a healthy queue, all of them in a Redis that is new or wiped. */
export async function lostLanes(poll: JobQueue): Promise<string[]> {
  const ids = Array.from({ length: LANES }, (_, lane) => `lane-${lane}`)
  const isLost = async (id: string) => {
    const scheduler = await poll.getJobScheduler(id)
    return scheduler?.next === undefined || scheduler.next <= Date.now() - LOST_AFTER_MS
  }
  const lost = await withTimeout(Promise.all(ids.map(isLost)), ANSWER_TIMEOUT_MS, 'queue poll')
  return ids.filter((_, lane) => lost[lane])
}

/** Lays these lanes, which must be lost: laying a healthy one again postpones its next run. */
export async function layLanes(poll: JobQueue, ids: readonly string[]): Promise<void> {
  // One attempt, nothing kept: a failed run is simply followed by the next one.
  const opts = { attempts: 1, removeOnComplete: true, removeOnFail: true }
  const lay = (id: string) =>
    poll.upsertJobScheduler(id, { every: LANE_EVERY_MS }, { name: 'lane', data: { id }, opts })
  await withTimeout(Promise.all(ids.map(lay)), ANSWER_TIMEOUT_MS, 'queue poll')
}
