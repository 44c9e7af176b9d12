// Carries out the changes marked on batches (store/lifecycle/batch-changes.ts), page by page and in the background. A caller waits for a change
// only as long as the caller says. Few pages run at once in a process, and the projects take turns. A change that ends in an error keeps
// its lease; the next process that finds the lease expired continues the change.

import { setTimeout as delay } from 'node:timers/promises'
import { pause } from './clock.ts'
import type { FairTurns, GiveBack } from './fair-turns.ts'
import { nextPageSize, ROWS_FIRST } from './pages.ts'

/** How many abandoned changes a process continues at once. */
const TAKEN_OVER_MAX = 2

/** Rows locked by another transaction are retried after this pause, up to this many times; then reconcile continues. */
const HELD_PAUSE_MS = 200
const HELD_PASSES_MAX = 25
/** How often a waiting caller checks whether another process has finished. */
const LOOK_AGAIN_MS = 100

export interface BatchChanger {
  /** Starts the marked change. @returns whether the change ended within `waitMs` */
  change(batchId: string, waitMs: number): Promise<boolean>
  /** Continues changes without a lease, if this process has room; returns soon. */
  takeOver(): Promise<void>
  /** Resolves when no change is under way. */
  idle(): Promise<void>
}

interface Claimed {
  readonly batchId: string
  readonly projectId: string
}

interface Cursor {
  readonly after: string
  readonly rows: number
}

interface Page {
  readonly changed: number
  readonly after: string | null
  readonly isOver: boolean
}

export interface BatchChangerPorts<P extends Page> {
  /** Takes the lease of a batch; null when another process has the lease, or no change is marked. */
  readonly claim: (which: { readonly batchId: string } | { readonly not: readonly string[] }) => Promise<Claimed | null>
  readonly release: (batchId: string) => Promise<void>
  readonly isChanging: (batchId: string) => Promise<boolean>
  readonly page: (batchId: string, cursor: Cursor) => Promise<P>
  /** Called after the commit of a page. */
  readonly afterPage: (claimed: Claimed, page: P) => Promise<void>
  /** Shared with all other work in pages. */
  readonly turns: FairTurns
  readonly onError: (batchId: string, error: unknown) => void
  /** After an abort no page begins; a page under way ends. */
  readonly stopping: AbortSignal
}

export function createBatchChanger<P extends Page>(ports: BatchChangerPorts<P>): BatchChanger {
  const { stopping, turns } = ports
  const running = new Map<string, Promise<void>>()
  const looks = new Map<string, Promise<boolean>>()
  let takenOver = 0

  function start(claimed: Claimed): Promise<void> {
    const known = running.get(claimed.batchId)
    if (known) return known
    const run = carryOut(claimed).finally(() => running.delete(claimed.batchId))
    running.set(claimed.batchId, run)
    return run
  }

  async function carryOut(claimed: Claimed): Promise<void> {
    const { batchId } = claimed
    let after = ''
    let rows = ROWS_FIRST
    let heldPasses = 0
    try {
      while (!stopping.aborted && heldPasses < HELD_PASSES_MAX) {
        const giveBack = await takeTurn(claimed)
        if (giveBack === null) return
        const startedAt = performance.now()
        const page = await ports.page(batchId, { after, rows }).finally(giveBack)
        const tookMs = performance.now() - startedAt
        await ports.afterPage(claimed, page)
        if (page.isOver) return
        rows = nextPageSize(rows, tookMs)
        after = page.after ?? ''
        if (page.changed > 0) heldPasses = 0
        else if (page.after === null) {
          heldPasses += 1
          await pause(HELD_PAUSE_MS, stopping)
        }
      }
      await ports.release(batchId)
    } catch (error) {
      ports.onError(batchId, error)
    }
  }

  /** @returns null when another process has the lease by then, or this one stops */
  async function takeTurn({ batchId, projectId }: Claimed): Promise<GiveBack | null> {
    const atOnce = turns.tryTake(projectId)
    if (atOnce) return atOnce
    // The lease would run out in the line.
    await ports.release(batchId)
    const giveBack = await turns.take(projectId)
    let isOurs = false
    try {
      isOurs = !stopping.aborted && (await ports.claim({ batchId })) !== null
    } finally {
      if (!isOurs) giveBack()
    }
    return isOurs ? giveBack : null
  }

  /** Until the run here ends, or for a moment while another process has the lease. @returns whether nothing is marked */
  async function look(batchId: string): Promise<boolean> {
    const claimed = running.has(batchId) ? null : await ports.claim({ batchId })
    const run = running.get(batchId) ?? (claimed && start(claimed))
    await (run ?? delay(LOOK_AGAIN_MS))
    return !(await ports.isChanging(batchId))
  }

  /** All who wait for a batch look at it together. */
  function lookTogether(batchId: string): Promise<boolean> {
    const known = looks.get(batchId)
    if (known) return known
    const looking = look(batchId).finally(() => looks.delete(batchId))
    looks.set(batchId, looking)
    return looking
  }

  return {
    async change(batchId, waitMs) {
      const late = delay(waitMs, null)
      while (!stopping.aborted) {
        const isDone = await Promise.race([lookTogether(batchId), late])
        if (isDone === null) break
        // The look may be older than what this caller has marked.
        if (isDone && !(await ports.isChanging(batchId))) return true
      }
      return false
    },
    async takeOver() {
      while (takenOver < TAKEN_OVER_MAX && !stopping.aborted) {
        const claimed = await ports.claim({ not: [...running.keys()] })
        if (claimed === null) return
        takenOver += 1
        void start(claimed).finally(() => {
          takenOver -= 1
        })
      }
    },
    async idle() {
      while (running.size > 0) await Promise.all(running.values())
    },
  }
}
