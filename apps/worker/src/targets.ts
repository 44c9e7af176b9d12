// The webhook servers (origins) as this process knows them: running deliveries, speed, and health of each origin. A
// slow or dead origin delays only the deliveries to the same origin. Origins are kept for each project, so a project's
// URLs have no effect on another project.

/** Limits of running deliveries to an origin: by default; after a quick answer; after a slow answer; after failures. */
const AT_ONCE = 10
const QUICK_AT_ONCE = 50
const SLOW_AT_ONCE = 3
const TRIED_AT_ONCE = 1
/** Limit over all origins: above, no rejected delivery is started again. */
const ALL_AT_ONCE = 1_000
/** Consecutive attempts without an answer before a cool-down of the origin. */
const SILENCES_MAX = 5
const REST_MIN_MS = 30_000
const REST_MAX_MS = 300_000

export type Admission =
  | { readonly kind: 'go' }
  /** The limit is reached: a running delivery to the origin continues with the next due delivery. */
  | { readonly kind: 'busy' }

/** The origin's behaviour in an attempt; `unknown`: no request was sent. */
export type Conduct = 'quick' | 'answered' | 'slow' | 'silent' | 'unknown'

export interface Targets {
  /** Whether the origin has answered this process, and still answers. */
  isProven(target: string): boolean
  /** Asks to begin a delivery; after a `go`, call `leave`. */
  enter(target: string): Admission
  /** Whether a delivery was rejected as busy since the last call: the rejected delivery may still be due. */
  takeTurnedAway(target: string): boolean
  /** True once for each rejected delivery, when the origin can take another delivery in parallel. */
  takeRoomAgain(target: string): boolean
  /** @returns the length of a cool-down that begins now, otherwise null */
  leave(target: string, conduct: Conduct): number | null
}

const MOST = { quick: QUICK_AT_ONCE, answered: AT_ONCE, slow: SLOW_AT_ONCE }

const roomOf = ({ underWay, rests, pace }: Target) => (rests > 0 ? TRIED_AT_ONCE : MOST[pace]) - underWay

interface Target {
  underWay: number
  hasAnswered: boolean
  /** How many deliveries were rejected as busy. */
  turnedAway: number
  pace: 'quick' | 'answered' | 'slow'
  silences: number
  /** Number of consecutive cool-downs. */
  rests: number
  restsUntil: number
}

/** At this number of origins, idle origins are removed. */
const TARGETS_MAX = 10_000

/** @param now monotonic milliseconds */
export function createTargets(now: () => number = () => performance.now()): Targets {
  const targets = new Map<string, Target>()
  let allUnderWay = 0

  function removeIdle(): void {
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
        if (targets.size >= TARGETS_MAX) removeIdle()
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
