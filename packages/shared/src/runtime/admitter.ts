// Admission as a process runs it: many calls become one run under way and one to follow.

export interface Admitter {
  /** Asks for a run; returns at once. */
  admit(): void
  /** Resolves when no run is under way or asked for. */
  idle(): Promise<void>
}

export interface AdmitterPorts {
  /** Admits up to a bound, and resolves to the ids admitted and whether more may be waiting. */
  readonly admit: () => Promise<{ readonly ids: readonly string[]; readonly more: boolean }>
  readonly wake: (ids: readonly string[]) => void
  readonly onError: (error: unknown) => void
}

export function createAdmitter({ admit, wake, onError }: AdmitterPorts): Admitter {
  let running: Promise<void> | undefined
  let again = false

  async function run(): Promise<void> {
    do {
      again = false
      try {
        const { ids, more } = await admit()
        wake(ids)
        again ||= more
      } catch (error) {
        // Reconcile asks again: a failed run only delays.
        onError(error)
      }
    } while (again)
    running = undefined
  }

  return {
    admit() {
      again = true
      running ??= run()
    },
    async idle() {
      while (running) await running
    },
  }
}
