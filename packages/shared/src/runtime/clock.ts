// Waiting that ends at once when the process is told to stop.

import { setTimeout as delay } from 'node:timers/promises'

/** Resolves after `ms`, or as soon as `signal` aborts; never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Waits for `promise`, but no longer than `timeoutMs`. @throws Error that names `what` did not answer in time */
export async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    // After a sleep of the process this fires before the sockets are read: an answer that is there comes first.
    const giveUp = () =>
      setImmediate(() => setImmediate(reject, new Error(`${what}: no answer within ${timeoutMs} ms`)))
    timer = setTimeout(giveUp, timeoutMs)
  })
  try {
    return await Promise.race([promise, timeout])
  } finally {
    clearTimeout(timer)
  }
}
