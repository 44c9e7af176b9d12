// Purges old ended rows (RETENTION_DAYS) separately from reconcile, so recovery never waits for the purge. A sweep
// visits all old rows once, in short pages with a commit each. Workers share the work: a page skips rows locked by
// another worker.

import { pause } from '@reelqueue/shared/runtime/clock'
import { purgeOldAdmissions } from '@reelqueue/shared/store/admission/queue-position'
import { HISTORY, type HistoryKind } from '@reelqueue/shared/store/operator/retention'
import { purgeUnstorable } from '@reelqueue/shared/store/unstorable'
import type { StepDeps } from '../deps.ts'

/** Rows of a page, first and at most: the deleted rows are locked until the end of the page. */
const ROWS_FIRST = 100
const ROWS_MAX = 500
/**
 * A slower page halves the next page, a faster page enlarges the next: many webhooks for each row make a page far more
 * expensive.
 */
const PAGE_MAX_MS = 300
/** Pause between two sweeps. */
const PAUSE_MS = 60_000

type PurgeDeps = Pick<StepDeps, 'database' | 'log' | 'settings'>

/** Repeats sweeps until `signal` aborts. Pauses vary by ±20 % so that workers do not run in step. */
export async function purgeForever(deps: PurgeDeps & Pick<StepDeps, 'random'>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await purgeHistory(deps, signal)
    } catch (error) {
      deps.log.error({ event: 'history.purge_failed', err: error })
    }
    await pause(PAUSE_MS * (0.8 + 0.4 * deps.random()), signal)
  }
}

/**
 * Runs a sweep; stops between two pages when `signal` aborts.
 * @throws errors of every page, such as an unreachable Postgres
 */
export async function purgeHistory({ database, settings, log }: PurgeDeps, signal: AbortSignal): Promise<void> {
  await purgeOldAdmissions(database)
  await purgeUnstorable(database)
  if (settings.retentionDays === undefined) return
  const age = { days: settings.retentionDays, nowMs: Date.now() }
  for (const kind of HISTORY) {
    const rows = await sweep(kind)
    if (rows > 0) log.info({ event: 'history.purged', kind: kind.name, rows })
  }

  async function sweep(kind: HistoryKind): Promise<number> {
    let purged = 0
    let after = ''
    let rows = ROWS_FIRST
    while (!signal.aborted) {
      const startedAt = performance.now()
      const last = await kind.lastOfPage(database, age, after, rows)
      if (last === null) break
      purged += await kind.purge(database, age, after, last)
      after = last
      const tookMs = performance.now() - startedAt
      if (tookMs > PAGE_MAX_MS) rows = Math.ceil(rows / 2)
      else if (tookMs < PAGE_MAX_MS / 2) rows = Math.min(ROWS_MAX, rows * 2)
      // A pause as long as the page: a worker keeps half a connection busy, and a slow Postgres gets less work.
      await pause(tookMs, signal)
    }
    return purged
  }
}
