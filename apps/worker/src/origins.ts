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
const FAILURES_MAX = 5
const COOL_DOWN_MIN_MS = 30_000
const COOL_DOWN_MAX_MS = 300_000

export type Permit =
  | { readonly kind: 'go' }
  /** The limit is reached: a running delivery to the origin continues with the next due delivery. */
  | { readonly kind: 'busy' }

/** The origin's behaviour in an attempt; `unknown`: no request was sent. */
export type OriginHealth = 'quick' | 'answered' | 'slow' | 'silent' | 'unknown'

export interface Origins {
  /** Whether the origin has answered this process, and still answers. */
  isProven(origin: string): boolean
  /** Asks to begin a delivery; after a `go`, call `leave`. */
  enter(origin: string): Permit
  /** Whether a delivery was rejected as busy since the last call: the rejected delivery may still be due. */
  takeOverflow(origin: string): boolean
  /** True once for each rejected delivery, when the origin can take another delivery in parallel. */
  takeRoomAgain(origin: string): boolean
  /** @returns the length of a cool-down that begins now, otherwise null */
  leave(origin: string, health: OriginHealth): number | null
}

const MOST = { quick: QUICK_AT_ONCE, answered: AT_ONCE, slow: SLOW_AT_ONCE }

const roomOf = ({ underWay, coolDowns, speed }: Origin) => (coolDowns > 0 ? TRIED_AT_ONCE : MOST[speed]) - underWay

interface Origin {
  underWay: number
  hasAnswered: boolean
  /** How many deliveries were rejected as busy. */
  overflow: number
  speed: 'quick' | 'answered' | 'slow'
  failures: number
  /** Number of consecutive cool-downs. */
  coolDowns: number
  coolDownUntil: number
}

/** At this number of origins, idle origins are removed. */
const ORIGINS_MAX = 10_000

/** @param now monotonic milliseconds */
export function createOrigins(now: () => number = () => performance.now()): Origins {
  const origins = new Map<string, Origin>()
  let allUnderWay = 0

  function removeIdle(): void {
    for (const [name, { underWay, coolDownUntil }] of origins)
      if (underWay === 0 && coolDownUntil < now()) origins.delete(name)
  }
  return {
    isProven(name) {
      const origin = origins.get(name)
      return origin?.hasAnswered === true && origin.coolDowns === 0
    },
    enter(name) {
      const known = origins.get(name)
      const origin: Origin = known ?? {
        underWay: 0,
        hasAnswered: false,
        overflow: 0,
        speed: 'answered',
        failures: 0,
        coolDowns: 0,
        coolDownUntil: 0,
      }
      if (roomOf(origin) <= 0) {
        origin.overflow++
        return { kind: 'busy' }
      }
      origin.underWay++
      allUnderWay++
      if (!known) {
        if (origins.size >= ORIGINS_MAX) removeIdle()
        origins.set(name, origin)
      }
      return { kind: 'go' }
    },
    takeOverflow(name) {
      const origin = origins.get(name)
      const had = (origin?.overflow ?? 0) > 0
      if (origin) origin.overflow = 0
      return had
    },
    takeRoomAgain(name) {
      const origin = origins.get(name)
      if (!origin || origin.overflow === 0 || roomOf(origin) < 2 || allUnderWay >= ALL_AT_ONCE) return false
      origin.overflow--
      return true
    },
    leave(name, health) {
      const origin = origins.get(name)
      if (!origin) throw new Error(`nothing is under way to ${name}`)
      origin.underWay--
      allUnderWay--
      if (health === 'unknown') return null
      if (health !== 'silent') {
        origin.hasAnswered = true
        origin.speed = health
        origin.failures = 0
        origin.coolDowns = 0
        return null
      }
      if (origin.speed === 'quick') origin.speed = 'answered'
      origin.failures++
      if (origin.failures < FAILURES_MAX || origin.coolDownUntil > now()) return null
      const forMs = Math.min(COOL_DOWN_MIN_MS * 2 ** origin.coolDowns, COOL_DOWN_MAX_MS)
      origin.coolDowns++
      origin.coolDownUntil = now() + forMs
      return forMs
    },
  }
}
