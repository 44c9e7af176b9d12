// Lets a bounded amount of something be used at a time, fair by key (such as a project): each key has a share of its own, and of those
// that wait each key has its turn in its order. A caller waits for a bounded time; then it is refused.

export interface TurnBounds {
  /** What may be in use at a time: of all keys together, and of one key. */
  readonly max: number
  readonly maxPerKey: number
  /** Callers of one key that may wait at a time. */
  readonly waitingMaxPerKey: number
  readonly waitMaxMs: number
}

/** Gives back what was taken; calling it again changes nothing. */
export type GiveBack = () => void

export interface FairTurns {
  /**
   * Takes `amount` (1 unless said otherwise), as soon as there is room.
   * @throws NoTurn when too many of the key wait already, or after `waitMaxMs`
   */
  take(key: string, amount?: number): Promise<GiveBack>
  /** The same without waiting. @returns null when there is no room now */
  tryTake(key: string, amount?: number): GiveBack | null
}

/** There was no room within the time. */
export class NoTurn extends Error {
  override name = 'NoTurn'
  /** Whether the key itself uses all of its share; else others use what there is. */
  readonly isOwnShare: boolean

  constructor(isOwnShare: boolean) {
    super(isOwnShare ? 'the share of this caller is in use' : 'everything is in use')
    this.isOwnShare = isOwnShare
  }
}

interface Waiting {
  readonly amount: number
  readonly give: (giveBack: GiveBack) => void
}

export function fairTurns({ max, maxPerKey, waitingMaxPerKey, waitMaxMs }: TurnBounds): FairTurns {
  let used = 0
  const usedBy = new Map<string, number>()
  /** In the order in which the keys have their turns; the callers of each in theirs. */
  const lines = new Map<string, Set<Waiting>>()

  const usedOf = (key: string) => usedBy.get(key) ?? 0
  const hasShare = (key: string, amount: number) => usedOf(key) + amount <= maxPerKey
  /** What is more than a whole share takes all of it. */
  const bounded = (amount: number) => Math.min(amount, maxPerKey, max)

  function use(key: string, amount: number): GiveBack {
    used += amount
    usedBy.set(key, usedOf(key) + amount)
    let isUsed = true
    return () => {
      if (!isUsed) return
      isUsed = false
      used -= amount
      if (usedOf(key) === amount) usedBy.delete(key)
      else usedBy.set(key, usedOf(key) - amount)
      serve()
    }
  }

  /** Who fits its own share but not what is left has the next turn: smaller ones behind it would keep it waiting for ever. */
  function serve(): void {
    for (const [key, line] of lines) {
      const [first] = line
      if (!first || !hasShare(key, first.amount)) continue
      if (used + first.amount > max) return
      leave(key, first)
      const rest = lines.get(key)
      if (rest) {
        // Its next one waits behind the other keys.
        lines.delete(key)
        lines.set(key, rest)
      }
      first.give(use(key, first.amount))
    }
  }

  function leave(key: string, waiting: Waiting): void {
    const line = lines.get(key)
    line?.delete(waiting)
    if (line?.size === 0) lines.delete(key)
  }

  function tryTake(key: string, amount = 1): GiveBack | null {
    const size = bounded(amount)
    const mayGoFirst = [...lines].every(([other, line]) => {
      const [first] = line
      return other !== key && (!first || !hasShare(other, first.amount))
    })
    return mayGoFirst && hasShare(key, size) && used + size <= max ? use(key, size) : null
  }

  return {
    tryTake,
    async take(key, amount = 1) {
      const now = tryTake(key, amount)
      if (now) return now
      const size = bounded(amount)
      const line = lines.get(key) ?? new Set()
      if (line.size >= waitingMaxPerKey) throw new NoTurn(!hasShare(key, size))
      lines.set(key, line)
      return await new Promise<GiveBack>((resolve, reject) => {
        const giveUp = setTimeout(() => {
          leave(key, waiting)
          reject(new NoTurn(!hasShare(key, size)))
          // It may have kept others waiting.
          serve()
        }, waitMaxMs)
        const waiting: Waiting = {
          amount: size,
          give: (giveBack) => {
            clearTimeout(giveUp)
            resolve(giveBack)
          },
        }
        line.add(waiting)
      })
    },
  }
}
