// Keeps a project's backlog within its limit. Counted once a second at the most, and upwards in between: several processes
// may together go over it by what they accept in that second.

import { Problem } from '@reelqueue/shared/domain/problem'

export interface BacklogLimit {
  /** Makes room for one more generation. @throws Problem `backlog_full` when there is none */
  take(projectId: string): Promise<void>
  /** Accepts as many at once while `insert` runs, however long that takes. @throws Problem `backlog_full` when there is no room */
  takeMany<T>(projectId: string, count: number, insert: () => Promise<T>): Promise<T>
}

const COUNT_EVERY_MS = 1_000

interface Counted {
  readonly waiting: Promise<number>
  /** What is known before it is counted: the last count, and what was accepted since. Null: nothing. */
  readonly before: number | null
  known: number | null
  readonly at: number
  /** Accepted one by one since it was counted. */
  taken: number
}

/** @param countWaiting how many generations of a project wait, counted up to a bound */
export function createBacklogLimit(
  waitingMax: number,
  countWaiting: (projectId: string, upTo: number) => Promise<number>,
): BacklogLimit {
  const counts = new Map<string, Counted>()
  /** Being inserted: no count sees them yet. */
  const reserved = new Map<string, number>()

  function reserve(projectId: string, count: number): void {
    const now = (reserved.get(projectId) ?? 0) + count
    if (now === 0) reserved.delete(projectId)
    else reserved.set(projectId, now)
  }
  function look(projectId: string): Counted {
    const last = counts.get(projectId)
    if (last && performance.now() - last.at < COUNT_EVERY_MS) return last
    const latest = last && (last.known ?? last.before)
    const next: Counted = {
      waiting: countWaiting(projectId, waitingMax),
      before: last && latest != null ? latest + last.taken : null,
      known: null,
      at: performance.now(),
      taken: 0,
    }
    counts.set(projectId, next)
    next.waiting.then(
      (waiting) => {
        next.known = waiting
      },
      // A count that failed is not kept.
      () => counts.delete(projectId),
    )
    return next
  }
  const hasRoom = (projectId: string, count: number) => count + (reserved.get(projectId) ?? 0) <= waitingMax

  /** In one go with the look: others may be waiting for the same count. */
  async function takeRoom(projectId: string, count: number, take: (now: Counted) => void): Promise<void> {
    const now = look(projectId)
    // While it is counted anew nobody waits, unless there may be no room.
    const isSure = now.known === null && now.before !== null && hasRoom(projectId, now.before + now.taken + count)
    // What others took while this waited for the count is read after it.
    if (!isSure && !hasRoom(projectId, (await now.waiting) + now.taken + count)) {
      const limit = waitingMax.toLocaleString('en')
      throw new Problem(
        'backlog_full',
        `At most ${limit} generations of a project may wait: send more when some were submitted.`,
      )
    }
    take(now)
  }
  return {
    async take(projectId) {
      await takeRoom(projectId, 1, (now) => {
        now.taken += 1
      })
    },
    async takeMany(projectId, count, insert) {
      await takeRoom(projectId, count, () => reserve(projectId, count))
      try {
        return await insert()
      } finally {
        reserve(projectId, -count)
        // They are in the table now, or are not to come.
        counts.delete(projectId)
      }
    },
  }
}
