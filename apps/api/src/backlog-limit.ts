// Keeps a project's backlog within the limit. The backlog is counted at most once a second; accepted generations are
// added between two counts. Several processes may together exceed the limit by the number accepted within a second.

import { Problem } from '@reelqueue/contract/terms/problem'

export interface BacklogLimit {
  /** Makes room for one generation. @throws Problem `backlog_full` when there is no room */
  take(projectId: string): Promise<void>
  /**
   * Reserves room for `count` generations while `insert` runs, for any duration. @throws Problem `backlog_full` when
   * there is no room
   */
  takeMany<T>(projectId: string, count: number, insert: () => Promise<T>): Promise<T>
}

const COUNT_EVERY_MS = 1_000

interface Counted {
  readonly waiting: Promise<number>
  /**
   * Estimate used while the count runs: the previous count plus the generations accepted since. Null: no previous
   * count.
   */
  readonly before: number | null
  known: number | null
  readonly at: number
  /** Generations accepted singly since this count began. */
  taken: number
}

/** @param countWaiting counts the waiting generations of a project, up to a bound */
export function createBacklogLimit(
  waitingMax: number,
  countWaiting: (projectId: string, upTo: number) => Promise<number>,
): BacklogLimit {
  const counts = new Map<string, Counted>()
  /** Rows of unfinished inserts, not visible to any count yet. */
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
      // A failed count is not cached.
      () => counts.delete(projectId),
    )
    return next
  }
  const hasRoom = (projectId: string, count: number) => count + (reserved.get(projectId) ?? 0) <= waitingMax

  /** Check and reservation run in the same tick: other callers may be awaiting the same count. */
  async function takeRoom(projectId: string, count: number, take: (now: Counted) => void): Promise<void> {
    const now = look(projectId)
    // Use the estimate while a refresh runs, unless the backlog may be full.
    const isSure = now.known === null && now.before !== null && hasRoom(projectId, now.before + now.taken + count)
    // Read `taken` after awaiting the count: other callers may have taken room in the meantime.
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
        // The rows are committed or dropped by now, so the cached count is out of date.
        counts.delete(projectId)
      }
    },
  }
}
