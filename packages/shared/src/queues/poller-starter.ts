// Starts resting pollers, at most once a second, and not at all while this process sees busy pollers.

/** Least time between two jobs; requests in between share the next job. */
const EVERY_MS = 1_000
/** How long a sighting of busy pollers counts: busy pollers run every second, and do not rest while something is due soon. */
const SEEN_MS = 2_000

export interface PollerStarter {
  /** Reports that something may have become due soon. Never waits, never fails. */
  start(): void
  /** Reports that pollers have run with work ahead (true), or were just sent to rest (false). */
  seen(areBusy: boolean): void
  close(): void
}

/** `add` adds the job whose run checks for work ahead. */
export function createPollerStarter(add: () => void): PollerStarter {
  let busySeenAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let again = false

  function start(): void {
    if (performance.now() - busySeenAt < SEEN_MS) return
    if (timer) {
      again = true
      return
    }
    add()
    timer = setTimeout(() => {
      timer = undefined
      if (!again) return
      again = false
      start()
    }, EVERY_MS).unref()
  }
  return {
    start,
    seen(areBusy) {
      busySeenAt = areBusy ? performance.now() : Number.NEGATIVE_INFINITY
    },
    close() {
      clearTimeout(timer)
    },
  }
}
