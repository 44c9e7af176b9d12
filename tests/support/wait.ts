// Waiting for something to become true, never for time to pass. A probe that throws counts as "not yet",
// so that a server being restarted under test does not end the wait.
import { setTimeout as delay } from 'node:timers/promises'
import { inspect } from 'node:util'

const INTERVAL_MS = 20

/**
 * Calls `probe` until it gives something truthy, and returns that.
 * @throws Error naming `description` and what the probe gave last, after `timeoutMs` (default 30 s).
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
