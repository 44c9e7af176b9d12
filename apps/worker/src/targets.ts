// The servers that webhooks go to, as this process knows them: how many deliveries are under way to each, and which do not
// answer. A server that is slow or dead holds its own deliveries up, and nobody else's.

/** Deliveries under way to one server. */
const PER_TARGET = 10
/** Attempts in a row without an answer after which a server is left alone for a while. */
const SILENCES_MAX = 5
const REST_MIN_MS = 30_000
const REST_MAX_MS = 300_000

export type Admission =
  | { readonly kind: 'go' }
  /** As many as may be are under way: whoever delivers them goes on with this one. */
  | { readonly kind: 'busy' }
  /** The server is left alone for this long. */
  | { readonly kind: 'resting'; readonly forMs: number }

export interface Targets {
  /** Asks to begin a delivery; `leave` must follow a `go`. */
  enter(origin: string): Admission
  /** @returns for how long the server is left alone from now on, if it is */
  leave(origin: string, answered: boolean): number | null
  /** Whether somebody was turned away as busy: more is due for the server than is under way to it. */
  isCrowded(origin: string): boolean
  /** Nothing more is due for it. */
  emptied(origin: string): void
}

interface Target {
  underWay: number
  silences: number
  /** How often in a row it was left alone. */
  rests: number
  restsUntil: number
  isCrowded: boolean
}

/** Servers that do not answer are remembered up to here; beyond it those that nobody asks for are forgotten. */
const TARGETS_MAX = 10_000

/** @param now ms of a clock that only goes forward */
export function createTargets(now: () => number = () => performance.now()): Targets {
  const targets = new Map<string, Target>()

  function forgetRested(): void {
    for (const [origin, { underWay, restsUntil }] of targets)
      if (underWay === 0 && restsUntil < now()) targets.delete(origin)
  }
  return {
    enter(origin) {
      if (targets.size > TARGETS_MAX) forgetRested()
      const target = targets.get(origin) ?? { underWay: 0, silences: 0, rests: 0, restsUntil: 0, isCrowded: false }
      const forMs = target.restsUntil - now()
      if (forMs > 0) return { kind: 'resting', forMs }
      // After a rest one tries for all.
      const most = target.rests > 0 ? 1 : PER_TARGET
      if (target.underWay >= most) {
        target.isCrowded = true
        return { kind: 'busy' }
      }
      target.underWay++
      targets.set(origin, target)
      return { kind: 'go' }
    },
    leave(origin, answered) {
      const target = targets.get(origin)
      if (!target) throw new Error(`nothing is under way to ${origin}`)
      target.underWay--
      if (answered) {
        target.silences = 0
        target.rests = 0
        // One that answers is forgotten, so that what is known does not grow with the servers there are.
        if (target.underWay === 0 && !target.isCrowded) targets.delete(origin)
        return null
      }
      target.silences++
      if (target.silences < SILENCES_MAX || target.restsUntil > now()) return null
      const forMs = Math.min(REST_MIN_MS * 2 ** target.rests, REST_MAX_MS)
      target.rests++
      target.restsUntil = now() + forMs
      return forMs
    },
    isCrowded: (origin) => targets.get(origin)?.isCrowded ?? false,
    emptied(origin) {
      const target = targets.get(origin)
      if (!target) return
      target.isCrowded = false
      if (target.underWay === 0 && target.silences === 0) targets.delete(origin)
    },
  }
}
