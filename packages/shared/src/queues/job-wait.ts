// How a worker waits for jobs: it is told of them, and asks by itself seldom while there are none, and later each time while its
// server refuses. BullMQ asks every five seconds, and after a refusal at once.

import type { IQueueBackend } from 'bullmq'
import { pause } from '../runtime/clock.ts'

/** A worker that is told of no job looks for one this often. Reconcile tells it sooner of whatever was missed. */
export const LOOK_SECONDS = 60
/** One blocking call takes no longer: a connection without an answer for 15 s is given up. */
const BLOCK_SECONDS_MAX = 10
/** A call that ends this much before its time was ended by something. */
const EARLY_MS = 50
/** Between two calls of a worker that fail, the first time and at most. */
const REST_MIN_MS = 200
const REST_MAX_MS = 5_000

/** Changes how the worker of this backend waits, until `closing` aborts. */
export function waitPatiently<B extends IQueueBackend>(queueBackend: B, closing: AbortSignal): B {
  waitInTurns(queueBackend, closing)
  restAfterFailure(queueBackend, closing)
  return queueBackend
}

/**
 * After each blocking call that brings nothing BullMQ runs its whole statement, or script, for taking a job. So it waits in several
 * calls: each sees by itself what was added since.
 */
function waitInTurns(queueBackend: IQueueBackend, closing: AbortSignal): void {
  // On Postgres it would be an hour, and its LISTEN can be lost for good when connections break (seen on 6.7).
  Object.defineProperty(queueBackend, 'maximumBlockTimeout', { get: () => LOOK_SECONDS })
  const wait = queueBackend.waitForJob.bind(queueBackend)
  const value: IQueueBackend['waitForJob'] = async (seconds) => {
    const endsAt = performance.now() + seconds * 1_000
    for (;;) {
      const startedAt = performance.now()
      const blockMs = Math.min(endsAt - startedAt, BLOCK_SECONDS_MAX * 1_000)
      const told = await wait(blockMs / 1_000)
      const now = performance.now()
      // Before its time: a delayed job is due, or the worker is to stop.
      if (told !== null || closing.aborted || now < startedAt + blockMs - EARLY_MS) return told
      if (now > endsAt - EARLY_MS) return null
    }
  }
  // Others wrap it once more.
  Object.defineProperty(queueBackend, 'waitForJob', { configurable: true, value })
}

/**
 * A worker that is refused a job asks again at once (seen on 6.7): thousands of times a second where Redis is full, misses a right
 * or is the wrong node. So what fails is answered later each time, until something succeeds or the worker is closed.
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
