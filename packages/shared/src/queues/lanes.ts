// The polling lanes: a few BullMQ Job Schedulers whose runs each claim whatever generations are due. A generation's
// timing is its row's due_at; a lane only has to come by often.

import { withTimeout } from '../runtime/clock.ts'
import type { JobQueue } from './backend.ts'

/** More lanes than a worker's concurrency, so that several workers stay busy. */
export const LANES = 4
const LANE_EVERY_MS = 1_000
/** A lane whose next run is overdue by this much has lost its chain and is laid again. */
const LOST_AFTER_MS = 30_000
const ANSWER_TIMEOUT_MS = 10_000

/**
 * Creates the lanes that are missing or stuck, and leaves healthy ones alone (laying one again postpones its next run).
 * @returns the ids of the lanes laid
 */
export async function ensureLanes(poll: JobQueue): Promise<string[]> {
  return await withTimeout(layMissing(poll), ANSWER_TIMEOUT_MS, 'queue poll')
}

async function layMissing(poll: JobQueue): Promise<string[]> {
  const laid: string[] = []
  for (let lane = 0; lane < LANES; lane++) {
    const id = `lane-${lane}`
    const scheduler = await poll.getJobScheduler(id)
    if (scheduler?.next !== undefined && scheduler.next > Date.now() - LOST_AFTER_MS) continue
    // One attempt, nothing kept: a failed run is simply followed by the next one.
    const opts = { attempts: 1, removeOnComplete: true, removeOnFail: true }
    await poll.upsertJobScheduler(id, { every: LANE_EVERY_MS }, { name: 'lane', data: { id }, opts })
    laid.push(id)
  }
  return laid
}
