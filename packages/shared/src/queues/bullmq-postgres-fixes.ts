// Repairs of BullMQ's Postgres backend. Each repair names the version in which the fault was seen.

import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import type { createPostgresBackend } from 'bullmq'
import pg from 'pg'

/** Attempts of a statement ended by Postgres to break a deadlock. */
const ATTEMPTS_MAX = 5

/**
 * BullMQ checks once whether its tables exist and keeps the answer, even the answer that Postgres is away (seen on 6.7): a process started
 * at that moment would serve no queue until a restart. So a failed check is discarded.
 */
export function lookAgainAfterFailure(part: { waitUntilReady(): Promise<void> }): void {
  const look = part.waitUntilReady.bind(part)
  const value = async () => {
    try {
      await look()
    } catch (error) {
      Reflect.deleteProperty(part, 'readyPromise')
      throw error
    }
  }
  Object.defineProperty(part, 'waitUntilReady', { value })
}

/**
 * BullMQ keeps its LISTEN connection until the connection breaks, even when the connection has never answered or was dead on arrival from
 * the pool (seen on 6.7): the worker would take no job until a restart. So an error event on the connection reports the failure.
 */
export function listenAnewAfterFailure(queueBackend: ReturnType<typeof createPostgresBackend>): void {
  const { connection } = queueBackend
  const connect = connection.getListenClient.bind(connection)
  const waitForJob = queueBackend.waitForJob.bind(queueBackend)
  let client: EventEmitter | undefined
  Object.defineProperty(connection, 'getListenClient', {
    async value() {
      const connected = await connect()
      if (connected instanceof EventEmitter) client = connected
      return connected
    },
  })
  // `waitForJob` rejects only when LISTEN is impossible.
  Object.defineProperty(queueBackend, 'waitForJob', {
    // `waitPatiently` wraps the method once more.
    configurable: true,
    async value(seconds: number) {
      try {
        return await waitForJob(seconds)
      } catch (error) {
        client?.emit('error', error)
        client = undefined
        throw error
      }
    },
  })
}

/** How long an ended pool delays its refusal. */
const ENDED_REFUSAL_MS = 200

/**
 * An ended pool refuses in the same tick, and BullMQ retries in the same tick (seen on 6.7): no timer and no signal would ever be handled
 * again. So the refusal is delayed.
 */
export async function slowlyOnceEnded<T>(pool: pg.Pool, run: () => Promise<T>): Promise<T> {
  if (pool.ending) await delay(ENDED_REFUSAL_MS, undefined, { ref: false })
  return await run()
}

/**
 * BullMQ's functions lock several rows in no fixed order, so two workers can deadlock, and an outcome refused by Postgres would be lost
 * or recorded as a failure (seen on 6.7). Each function is one statement: an aborted statement leaves no trace and may run again.
 */
export async function againAfterDeadlock<T>(run: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await run()
    } catch (error) {
      const isDeadlock = error instanceof pg.DatabaseError && error.code === '40P01'
      if (!isDeadlock || attempt === ATTEMPTS_MAX) throw error
    }
  }
}
