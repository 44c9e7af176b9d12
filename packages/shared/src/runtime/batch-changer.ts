// Carries out what is marked on batches (store/batch-changes.ts), page by page and in the background: a caller waits for it only as long
// as it likes. Few pages run at once in a process, and the projects take turns. A change that ends in an error keeps its lease, and
// whoever finds that run out goes on with it.

import { setTimeout as delay } from 'node:timers/promises'
import { pause } from './clock.ts'
import { fairTurns } from './fair-turns.ts'

/** Pages at once: each holds a connection. A project has one, so that it leaves the other one to others. */
const PAGES = { max: 2, maxPerKey: 1, waitingMaxPerKey: 1_000, waitMaxMs: 600_000 }
/** Batches that a process carries on with although nobody asked it to. */
const TAKEN_OVER_MAX = 2

const ROWS_FIRST = 100
const ROWS_MAX = 1_000
/** A page that took longer makes the next one smaller, a shorter one larger: some webhooks for each row make it far dearer. */
const PAGE_MAX_MS = 300

/** Rows that others hold are tried again after this long, and so often; then reconcile goes on. */
const HELD_PAUSE_MS = 200
const HELD_PASSES_MAX = 25
/** How often somebody who waits looks whether another process is done. */
const LOOK_AGAIN_MS = 100

export interface BatchChanger {
  /** Starts to carry out what is marked. @returns whether it was all done within `waitMs` */
  change(batchId: string, waitMs: number): Promise<boolean>
  /** Goes on with marks that nobody carries out, if this process has room; returns soon. */
  takeOver(): Promise<void>
  /** Resolves when nothing is under way. */
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
  /** Takes the lease of this batch, or of any; null when somebody has it, or nothing is marked. */
  readonly claim: (batchId?: string) => Promise<Claimed | null>
  readonly release: (batchId: string) => Promise<void>
  readonly isChanging: (batchId: string) => Promise<boolean>
  readonly page: (batchId: string, cursor: Cursor) => Promise<P>
  /** An empty page, after which the next one begins behind the row that cannot be written. */
  readonly leaveOut: (batchId: string, after: string) => Promise<P>
  /** Whether a failure would meet any page. */
  readonly isCommon: (error: unknown) => boolean
  /** What follows the commit of a page. */
  readonly afterPage: (batchId: string, page: P) => Promise<void>
  readonly onError: (batchId: string, error: unknown) => void
  /** After this nothing is begun; a page under way is ended. */
  readonly stopping: AbortSignal
}

export function createBatchChanger<P extends Page>(ports: BatchChangerPorts<P>): BatchChanger {
  const { stopping } = ports
  const turns = fairTurns(PAGES)
  const running = new Map<string, Promise<void>>()
  let takenOver = 0

  function start(claimed: Claimed): Promise<void> {
    const run = carryOut(claimed).finally(() => running.delete(claimed.batchId))
    running.set(claimed.batchId, run)
    return run
  }

  async function carryOut({ batchId, projectId }: Claimed): Promise<void> {
    let after = ''
    let rows = ROWS_FIRST
    let heldPasses = 0
    try {
      while (!stopping.aborted && heldPasses < HELD_PASSES_MAX) {
        const giveBack = await turns.take(projectId)
        const taken = await tryPage(batchId, { after, rows }).finally(giveBack)
        if (taken === null) {
          rows = Math.ceil(rows / 10)
          continue
        }
        const { page, tookMs } = taken
        await ports.afterPage(batchId, page)
        if (page.isOver) return
        if (tookMs > PAGE_MAX_MS) rows = Math.ceil(rows / 2)
        else if (tookMs < PAGE_MAX_MS / 3) rows = Math.min(ROWS_MAX, rows * 2)
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

  /** @returns null when the page failed and a smaller one may not. A row that fails alone is left out, so that it stops no other. */
  async function tryPage(batchId: string, cursor: Cursor): Promise<{ page: P; tookMs: number } | null> {
    const startedAt = performance.now()
    try {
      const page = await ports.page(batchId, cursor)
      return { page, tookMs: performance.now() - startedAt }
    } catch (error) {
      if (ports.isCommon(error)) throw error
      if (cursor.rows > 1) return null
      ports.onError(batchId, error)
      return { page: await ports.leaveOut(batchId, cursor.after), tookMs: PAGE_MAX_MS }
    }
  }

  /** Until nothing is marked: here, or by the process that has the lease. */
  async function finish(batchId: string, isWaitedFor: () => boolean): Promise<void> {
    do {
      const claimed = running.has(batchId) ? null : await ports.claim(batchId)
      const run = running.get(batchId) ?? (claimed && start(claimed))
      await (run ?? delay(LOOK_AGAIN_MS))
    } while (isWaitedFor() && !stopping.aborted && (await ports.isChanging(batchId)))
  }

  return {
    async change(batchId, waitMs) {
      let isWaitedFor = true
      const finishing = finish(batchId, () => isWaitedFor).then(() => true)
      const timer = delay(waitMs, false)
      const isDone = await Promise.race([finishing, timer]).finally(() => {
        isWaitedFor = false
      })
      // It is heard of no more.
      finishing.catch(() => undefined)
      return isDone && !(await ports.isChanging(batchId))
    },
    async takeOver() {
      while (takenOver < TAKEN_OVER_MAX && !stopping.aborted) {
        const claimed = await ports.claim()
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
