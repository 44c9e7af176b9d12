// Faults armed through the control endpoint: they hit whatever request comes next, whichever prompt it bears,
// and go before the faults that the prompt itself asks for.
import type { Fault } from './faults.ts'

type FaultTarget = 'create' | 'poll'

interface ArmedFault {
  readonly on: FaultTarget
  readonly text: string
  readonly fault: Fault
  /** Null: until cleared. */
  left: number | null
}

/** Each armed fault hits the next requests of its kind; the oldest is used up first. */
export class ArmedFaults {
  #armed: ArmedFault[] = []

  /** Arms `fault` for the next `times` requests, or until cleared when null. `text` is how it was written. */
  arm(on: FaultTarget, text: string, fault: Fault, times: number | null): void {
    this.#armed.push({ on, text, fault, left: times })
  }

  /** The fault for this request, used up by one; null when none is armed. */
  take(on: FaultTarget): Fault | null {
    const armed = this.#armed.find((candidate) => candidate.on === on)
    if (armed === undefined) return null
    if (armed.left !== null) {
      armed.left -= 1
      if (armed.left === 0) this.#armed = this.#armed.filter((other) => other !== armed)
    }
    return armed.fault
  }

  clear(): void {
    this.#armed = []
  }

  /** What is armed now; `left` null means until cleared. */
  list(): { on: FaultTarget; fault: string; left: number | null }[] {
    return this.#armed.map(({ on, text, left }) => ({ on, fault: text, left }))
  }
}
