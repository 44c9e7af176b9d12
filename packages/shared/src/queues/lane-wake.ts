// Wakes lanes that may be resting, once a second at the most, and not at all while this process sees that they are busy.

/** Between two wake-ups: what is asked for meanwhile shares the next one. */
const EVERY_MS = 1_000
/** Busy lanes come by every second, and do not rest while something is due soon. */
const SEEN_MS = 2_000

export interface LaneWake {
  /** Something may have become due soon. Never waits, never fails. */
  wake(): void
  /** Whether lanes have come by with work ahead, or have just been sent to rest. */
  seen(areBusy: boolean): void
  close(): void
}

/** `add`: adds the job whose run looks at what is ahead. */
export function createLaneWake(add: () => void): LaneWake {
  let busySeenAt = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  let again = false

  function wake(): void {
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
      wake()
    }, EVERY_MS).unref()
  }
  return {
    wake,
    seen(areBusy) {
      busySeenAt = areBusy ? performance.now() : Number.NEGATIVE_INFINITY
    },
    close() {
      clearTimeout(timer)
    },
  }
}
