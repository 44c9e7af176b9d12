// Waits with an end: a pause stops with the process, a promise is awaited for a limited time.

import { setTimeout as delay } from 'node:timers/promises'

/** Resolves after `ms`, or as soon as `signal` aborts; never rejects. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  try {
    await delay(ms, undefined, { signal })
  } catch (error) {
    if (!signal.aborted) throw error
  }
}

/** Waits for `promise`, at most `timeoutMs`. @throws Error naming `what` after the timeout */
export async function withTimeout<T>(promise: Promise<T>, timeoutMs: number, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    // After a suspend of the machine this timer fires before the sockets are read: an answer already received must win.
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
