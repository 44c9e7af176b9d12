// Limits how much of a resource is in use at a time, fair by key (such as a project): each key has a share of its own, and waiting keys are
// served in turn. A caller waits for a bounded time and is then refused.

export interface TurnBounds {
  /** The most that may be in use at a time: by all keys together, and by each key. */
  readonly max: number
  readonly maxPerKey: number
  /** How many callers of a key may wait at a time. */
  readonly waitingMaxPerKey: number
  readonly waitMaxMs: number
}

/** Returns the taken amount; repeated calls change nothing. */
export type GiveBack = () => void

export interface FairTurns {
  /**
   * Takes `amount` (default 1) as soon as there is room.
   * @throws NoTurn when too many callers of the key already wait, or after `waitMaxMs`
   */
  take(key: string, amount?: number): Promise<GiveBack>
  /** Takes without waiting. @returns null when there is no room now */
  tryTake(key: string, amount?: number): GiveBack | null
}

/** There was no room in time. */
export class NoTurn extends Error {
  override name = 'NoTurn'
  /** True when the key itself uses its whole share; false when the other keys use everything. */
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
  /** The waiting callers of each key, oldest first. The order of the keys is the order of their turns. */
  const lines = new Map<string, Set<Waiting>>()

  const usedOf = (key: string) => usedBy.get(key) ?? 0
  const hasShare = (key: string, amount: number) => usedOf(key) + amount <= maxPerKey
  /** An amount above a whole share is reduced to the share. */
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

  /**
   * Serves the waiting keys in turn. A caller within its own share but above the free amount blocks the callers behind: smaller amounts
   * could otherwise overtake the caller for ever.
   */
  function serve(): void {
    for (const [key, line] of lines) {
      const [first] = line
      if (!first || !hasShare(key, first.amount)) continue
      if (used + first.amount > max) return
      leave(key, first)
      const rest = lines.get(key)
      if (rest) {
        // The next caller of this key waits behind the other keys.
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
          // The refused caller may have blocked other callers.
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
