// Admission as a process runs it: many calls become one run under way and one to follow.

export interface Admitter {
  /** Asks for a run; returns at once. */
  admit(): void
  /** Resolves when no run is under way or asked for. */
  idle(): Promise<void>
}

export interface AdmitterPorts<Admitted> {
  /** Admits up to a bound, and resolves to what was admitted and whether more may be waiting. */
  readonly admit: () => Promise<{ readonly admitted: readonly Admitted[]; readonly more: boolean }>
  readonly wake: (admitted: readonly Admitted[]) => void
  readonly onError: (error: unknown) => void
}

export function createAdmitter<Admitted>({ admit, wake, onError }: AdmitterPorts<Admitted>): Admitter {
  let running: Promise<void> | undefined
  let again = false

  async function run(): Promise<void> {
    do {
      again = false
      try {
        const { admitted, more } = await admit()
        wake(admitted)
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
