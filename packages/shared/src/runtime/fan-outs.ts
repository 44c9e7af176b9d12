// Creates the deliveries that large changes have put off (store/fan-out.ts), page by page and in the background. The pages take their turns
// with those of other large changes, fair by project. What a process leaves behind, reconcile goes on with.

import type { FairTurns } from './fair-turns.ts'
import { nextPageSize, ROWS_FIRST } from './pages.ts'

/** Projects whose fan-outs a process carries on with at once. */
const PROJECTS_MAX = 2

export interface FanOuts {
  /** Begins with a project's, unless that goes on already. */
  start(projectId: string): void
  /** Goes on with what waits for any project, if this process has room; returns soon. */
  takeOver(): Promise<void>
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
}

export interface FanOutPorts {
  /** Shared with whatever else works in pages. */
  readonly turns: FairTurns
  /** The first project after an id ('' for the beginning) for which something waits; null when none follows. */
  readonly next: (after: string) => Promise<string | null>
  /** Creates the deliveries of some events. */
  readonly page: (
    projectId: string,
    rows: number,
  ) => Promise<{ readonly events: number; readonly deliveryIds: readonly string[] }>
  readonly enqueue: (deliveryIds: readonly string[]) => void
  readonly onError: (projectId: string, error: unknown) => void
  /** After this nothing is begun; a page under way is ended. */
  readonly stopping: AbortSignal
}

export function createFanOuts({ turns, next, page, enqueue, onError, stopping }: FanOutPorts): FanOuts {
  const running = new Map<string, Promise<void>>()
  /** Where the last look for projects ended, so that none is always last. */
  let last = ''

  async function carryOut(projectId: string): Promise<void> {
    let rows = ROWS_FIRST
    try {
      while (!stopping.aborted) {
        const giveBack = await turns.take(projectId)
        const startedAt = performance.now()
        const { events, deliveryIds } = await page(projectId, rows).finally(giveBack)
        enqueue(deliveryIds)
        // Nothing is left, or another process has it in hand.
        if (events === 0) return
        rows = nextPageSize(rows, performance.now() - startedAt)
      }
    } catch (error) {
      onError(projectId, error)
    }
  }

  function start(projectId: string): void {
    if (stopping.aborted || running.has(projectId)) return
    const run = carryOut(projectId).finally(() => running.delete(projectId))
    running.set(projectId, run)
  }

  return {
    start,
    async takeOver() {
      for (let looks = 0; looks <= PROJECTS_MAX && running.size < PROJECTS_MAX && !stopping.aborted; looks++) {
        const projectId = await next(last)
        last = projectId ?? ''
        if (projectId !== null) start(projectId)
      }
    },
    async idle() {
      while (running.size > 0) await Promise.all(running.values())
    },
  }
}
