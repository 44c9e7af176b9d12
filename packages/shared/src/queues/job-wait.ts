// How a worker waits for jobs. Notifications wake the worker; the worker itself asks rarely while there are no jobs, and with a growing
// delay while the server refuses. BullMQ would ask every five seconds, and immediately after a refusal.

import type { IQueueBackend } from 'bullmq'
import { pause } from '../runtime/clock.ts'

/** A worker without notifications looks for a job at this interval. For missed jobs, reconcile notifies the worker sooner. */
export const LOOK_SECONDS = 60
/** Longest blocking call: a connection is closed after 15 s without an answer. */
const BLOCK_SECONDS_MAX = 10
/** A call ending more than this before its time was ended by an event. */
const EARLY_MS = 50
/** The delay after a failed call of a worker: the first delay and the longest. */
const REST_MIN_MS = 200
const REST_MAX_MS = 5_000

/** Changes how the worker of this backend waits, until `closing` aborts. */
export function waitPatiently<B extends IQueueBackend>(queueBackend: B, closing: AbortSignal): B {
  waitInTurns(queueBackend, closing)
  restAfterFailure(queueBackend, closing)
  return queueBackend
}

/**
 * After each blocking call without a job, BullMQ runs its whole statement or script for taking a job. So a wait consists of several
 * blocking calls: each call notices jobs added before the call.
 */
function waitInTurns(queueBackend: IQueueBackend, closing: AbortSignal): void {
  // On Postgres the default would be an hour, and the LISTEN can be lost for good when connections break (seen on 6.7).
  Object.defineProperty(queueBackend, 'maximumBlockTimeout', { get: () => LOOK_SECONDS })
  const wait = queueBackend.waitForJob.bind(queueBackend)
  const value: IQueueBackend['waitForJob'] = async (seconds) => {
    const endsAt = performance.now() + seconds * 1_000
    for (;;) {
      const startedAt = performance.now()
      const blockMs = Math.min(endsAt - startedAt, BLOCK_SECONDS_MAX * 1_000)
      const told = await wait(blockMs / 1_000)
      const now = performance.now()
      // Ended early: a delayed job is due, or the worker has to stop.
      if (told !== null || closing.aborted || now < startedAt + blockMs - EARLY_MS) return told
      if (now > endsAt - EARLY_MS) return null
    }
  }
  // `restAfterFailure` wraps the method once more.
  Object.defineProperty(queueBackend, 'waitForJob', { configurable: true, value })
}

/**
 * After a refused call a worker asks again immediately (seen on 6.7): thousands of times a second where Redis is full, lacks a permission
 * or is the wrong node. So each further failure is returned later, until a call succeeds or the worker is closed.
 */
function restAfterFailure(queueBackend: IQueueBackend, closing: AbortSignal): void {
  for (const name of ['moveToActive', 'waitForJob'] as const) {
    const call: (...args: never[]) => Promise<unknown> = queueBackend[name].bind(queueBackend)
    let failures = 0
    const value = async (...args: never[]) => {
      try {
        const result = await call(...args)
        failures = 0
        return result
      } catch (error) {
        await pause(Math.min(REST_MIN_MS * 2 ** failures++, REST_MAX_MS) * (0.8 + 0.2 * Math.random()), closing)
        throw error
      }
    }
    Object.defineProperty(queueBackend, name, { value })
  }
}
