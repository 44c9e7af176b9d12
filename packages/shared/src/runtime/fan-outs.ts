// Creates the postponed deliveries of large changes (store/deliveries/fan-out.ts), page by page and in the background. The pages take turns with the
// pages of other large changes, fair by project. Reconcile continues the fan-outs that a process leaves behind.

import type { FairTurns } from './fair-turns.ts'
import { nextPageSize, ROWS_FIRST } from './pages.ts'

/** How many projects' fan-outs a process continues at once. */
const PROJECTS_MAX = 2

export interface FanOuts {
  /** Starts the fan-outs of a project, unless they are running already. */
  start(projectId: string): void
  /** Continues pending fan-outs of any project, if this process has room; returns soon. */
  takeOver(): Promise<void>
  /** Resolves when no fan-out is under way. */
  idle(): Promise<void>
}

export interface FanOutPorts {
  /** Shared with all other work in pages. */
  readonly turns: FairTurns
  /** The first project after an id ('' for the beginning) that has pending fan-outs; null when no such project follows. */
  readonly next: (after: string) => Promise<string | null>
  /** Creates the deliveries of up to `rows` events. */
  readonly page: (
    projectId: string,
    rows: number,
  ) => Promise<{ readonly events: number; readonly deliveryIds: readonly string[] }>
  readonly enqueue: (deliveryIds: readonly string[]) => void
  readonly onError: (projectId: string, error: unknown) => void
  /** After an abort no page begins; a page under way ends. */
  readonly stopping: AbortSignal
}

export function createFanOuts({ turns, next, page, enqueue, onError, stopping }: FanOutPorts): FanOuts {
  const running = new Map<string, Promise<void>>()
  /** Where the last search for projects ended, so that no project is always last. */
  let last = ''

  async function carryOut(projectId: string): Promise<void> {
    let rows = ROWS_FIRST
    try {
      while (!stopping.aborted) {
        const giveBack = await turns.take(projectId)
        const startedAt = performance.now()
        const { events, deliveryIds } = await page(projectId, rows).finally(giveBack)
        enqueue(deliveryIds)
        // No event is left, or another process has locked the rest.
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
