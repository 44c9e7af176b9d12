// Faults armed through the control endpoint: an armed fault hits the next requests whatever their prompts, and precedes the faults
// requested by a prompt.
import type { Fault } from './faults.ts'

type FaultTarget = 'create' | 'poll'

interface ArmedFault {
  readonly on: FaultTarget
  readonly text: string
  readonly fault: Fault
  /** Null: until cleared. */
  left: number | null
}

/** Each armed fault hits the next requests of its kind; the oldest armed fault is used up first. */
export class ArmedFaults {
  #armed: ArmedFault[] = []

  /** Arms `fault` for the next `times` requests, or until cleared when null. `text` is the written form of the fault. */
  arm(on: FaultTarget, text: string, fault: Fault, times: number | null): void {
    this.#armed.push({ on, text, fault, left: times })
  }

  /** Takes one use of the fault due for this request; null when no fault is armed. */
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

  /** The armed faults; `left` null means until cleared. */
  list(): { on: FaultTarget; fault: string; left: number | null }[] {
    return this.#armed.map(({ on, text, left }) => ({ on, fault: text, left }))
  }
}
