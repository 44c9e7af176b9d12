// Admission as a process runs it: many calls become one run under way and one to follow.

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
      again = false
      try {
        const { admitted, againMs } = await admit()
        wake(admitted)
        if (againMs === 0) again = true
        else if (againMs !== null) askIn(againMs)
      } catch (error) {
        // Reconcile asks again: a failed run only delays.
        onError(error)
      }
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
