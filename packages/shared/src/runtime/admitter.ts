// Runs admission in one process: any number of calls become the run under way and one more run.

import { pause } from './clock.ts'

/** A run is followed by a pause as long as the run, within these bounds. Calls during the pause share the next run. */
const PAUSE_MIN_MS = 20
const PAUSE_MAX_MS = 500

export interface Admitter {
  /** Requests a run; returns at once. */
  admit(): void
  /** Resolves when no run is under way or requested. */
  idle(): Promise<void>
}

export interface AdmitterPorts<Admitted> {
  /** Admits a bounded number of generations. `againMs` is the time until the next run is due; null when no run is due. */
  readonly admit: () => Promise<{ readonly admitted: readonly Admitted[]; readonly againMs: number | null }>
  readonly enqueue: (admitted: readonly Admitted[]) => void
  readonly onError: (error: unknown) => void
  /** After the abort no delayed run starts. */
  readonly stopping: AbortSignal
}

export function createAdmitter<Admitted>(ports: AdmitterPorts<Admitted>): Admitter {
  const { admit, enqueue, onError, stopping } = ports
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
        enqueue(admitted)
        if (againMs === 0) again = true
        else if (againMs !== null) askIn(againMs)
      } catch (error) {
        // A failed run only delays admission: reconcile requests the next run.
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
