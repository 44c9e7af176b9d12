// Admission as a process runs it: many calls become one run under way and one to follow.

import { pause } from './clock.ts'

/** Between two runs, and at least as long as a run takes: what asks meanwhile shares the next one. */
const PAUSE_MIN_MS = 20
const PAUSE_MAX_MS = 500

export interface Admitter {
  /** Asks for a run; returns at once. */
  admit(): void
  /** Resolves when no run is under way or asked for. */
  idle(): Promise<void>
}

export interface AdmitterPorts<Admitted> {
  /** Admits up to a bound, and resolves to what was admitted and in how many ms another run is due, if one is. */
  readonly admit: () => Promise<{ readonly admitted: readonly Admitted[]; readonly againMs: number | null }>
  readonly wake: (admitted: readonly Admitted[]) => void
  readonly onError: (error: unknown) => void
  /** Nothing that was put off is run after this. */
  readonly stopping: AbortSignal
}

export function createAdmitter<Admitted>(ports: AdmitterPorts<Admitted>): Admitter {
  const { admit, wake, onError, stopping } = ports
  let running: Promise<void> | undefined
  let again = false
  let putOff: NodeJS.Timeout | undefined
  let nextAt = 0

  function ask(): void {
    again = true
    running ??= run()
  }

  function askIn(ms: number): void {
    clearTimeout(putOff)
    putOff = setTimeout(() => {
      if (!stopping.aborted) ask()
    }, ms).unref()
  }

  async function run(): Promise<void> {
    do {
      const waitMs = nextAt - performance.now()
      if (waitMs > 0) await pause(waitMs, stopping)
      again = false
      const startedAt = performance.now()
      try {
        const { admitted, againMs } = await admit()
        wake(admitted)
        if (againMs === 0) again = true
        else if (againMs !== null) askIn(againMs)
      } catch (error) {
        // Reconcile asks again: a failed run only delays.
        onError(error)
      }
      const now = performance.now()
      nextAt = now + Math.min(Math.max(PAUSE_MIN_MS, now - startedAt), PAUSE_MAX_MS)
    } while (again)
    running = undefined
  }

  return {
    admit: ask,
    async idle() {
      while (running) await running
    },
  }
}
