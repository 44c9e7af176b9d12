// Waits for a condition, never for a fixed time. A throwing probe counts as "not yet", so that a server being restarted by the test does
// not end the wait.
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'

const INTERVAL_MS = 20

/**
 * Calls `probe` until the result is truthy, and returns the result.
 * @throws Error naming `description` and the last result, after `timeoutMs` (default 30 s).
 */
export async function until<T>(
  description: string,
  probe: () => T | Promise<T>,
  { timeoutMs = 30_000 }: { timeoutMs?: number } = {},
): Promise<T> {
  const deadline = Date.now() + timeoutMs
  for (;;) {
    let last: unknown
    try {
      const value = await probe()
      if (value) return value
      last = value
    } catch (error) {
      last = error
    }
    if (Date.now() > deadline) {
      throw new Error(`Not within ${timeoutMs} ms: ${description}. Last seen: ${inspect(last)}`)
    }
    await delay(INTERVAL_MS)
  }
}
