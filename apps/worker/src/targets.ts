// The servers that webhooks go to, as this process knows them: how many deliveries are under way to each, and which are slow or do
// not answer. A server that is slow or dead holds its own deliveries up, and nobody else's. A target is a project's server: what
// one project's URLs do there is nothing to another's.

/** Deliveries under way to one server; to one whose last answer was quick, or slow; and to one that has not answered lately. */
const AT_ONCE = 10
const QUICK_AT_ONCE = 50
const SLOW_AT_ONCE = 3
const TRIED_AT_ONCE = 1
/** Deliveries under way to all servers beyond which nobody who was turned away is asked back. */
const ALL_AT_ONCE = 1_000
/** Attempts in a row without an answer after which a server is left alone for a while. */
const SILENCES_MAX = 5
const REST_MIN_MS = 30_000
const REST_MAX_MS = 300_000

export type Admission =
  | { readonly kind: 'go' }
  /** As many as may be are under way: whoever delivers them goes on with this one. */
  | { readonly kind: 'busy' }

/** What an attempt says of the server; `unknown`: it was not asked. */
export type Conduct = 'quick' | 'answered' | 'slow' | 'silent' | 'unknown'

export interface Targets {
  /** Whether the server has answered this process, and has not stopped doing so. */
  isProven(target: string): boolean
  /** Asks to begin a delivery; `leave` must follow a `go`. */
  enter(target: string): Admission
  /** Whether somebody was told that it is busy since this was last asked: what that one came for may be due still. */
  takeTurnedAway(target: string): boolean
  /** Whether there is room for one of those who were told that it is busy, besides whoever asks: once for each of them. */
  takeRoomAgain(target: string): boolean
  /** @returns for how long the server is left alone from now on, if it is */
  leave(target: string, conduct: Conduct): number | null
}

const MOST = { quick: QUICK_AT_ONCE, answered: AT_ONCE, slow: SLOW_AT_ONCE }

const roomOf = ({ underWay, rests, pace }: Target) => (rests > 0 ? TRIED_AT_ONCE : MOST[pace]) - underWay

interface Target {
  underWay: number
  hasAnswered: boolean
  /** How often somebody was told that it is busy. */
  turnedAway: number
  pace: 'quick' | 'answered' | 'slow'
  silences: number
  /** How often in a row it was left alone. */
  rests: number
  restsUntil: number
}

/** Servers are remembered up to here; beyond it those that nobody asks for are forgotten. */
const TARGETS_MAX = 10_000

/** @param now ms of a clock that only goes forward */
export function createTargets(now: () => number = () => performance.now()): Targets {
  const targets = new Map<string, Target>()
  let allUnderWay = 0

  function forgetIdle(): void {
    for (const [name, { underWay, restsUntil }] of targets)
      if (underWay === 0 && restsUntil < now()) targets.delete(name)
  }
  return {
    isProven(name) {
      const target = targets.get(name)
      return target?.hasAnswered === true && target.rests === 0
    },
    enter(name) {
      const known = targets.get(name)
      const target: Target = known ?? {
        underWay: 0,
        hasAnswered: false,
        turnedAway: 0,
        pace: 'answered',
        silences: 0,
        rests: 0,
        restsUntil: 0,
      }
      if (roomOf(target) <= 0) {
        target.turnedAway++
        return { kind: 'busy' }
      }
      target.underWay++
      allUnderWay++
      if (!known) {
        if (targets.size >= TARGETS_MAX) forgetIdle()
        targets.set(name, target)
      }
      return { kind: 'go' }
    },
    takeTurnedAway(name) {
      const target = targets.get(name)
      const had = (target?.turnedAway ?? 0) > 0
      if (target) target.turnedAway = 0
      return had
    },
    takeRoomAgain(name) {
      const target = targets.get(name)
      if (!target || target.turnedAway === 0 || roomOf(target) < 2 || allUnderWay >= ALL_AT_ONCE) return false
      target.turnedAway--
      return true
    },
    leave(name, conduct) {
      const target = targets.get(name)
      if (!target) throw new Error(`nothing is under way to ${name}`)
      target.underWay--
      allUnderWay--
      if (conduct === 'unknown') return null
      if (conduct !== 'silent') {
        target.hasAnswered = true
        target.pace = conduct
        target.silences = 0
        target.rests = 0
        return null
      }
      if (target.pace === 'quick') target.pace = 'answered'
      target.silences++
      if (target.silences < SILENCES_MAX || target.restsUntil > now()) return null
      const forMs = Math.min(REST_MIN_MS * 2 ** target.rests, REST_MAX_MS)
      target.rests++
      target.restsUntil = now() + forMs
      return forMs
    },
  }
}
