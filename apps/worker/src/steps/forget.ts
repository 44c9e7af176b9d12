// Forgets what ended long ago (RETENTION_DAYS), beside the rounds of reconcile: healing waits for no history. A sweep goes once over all
// that is old, in pages that are short and committed each; workers share it, since each passes over what another is deleting.

import { pause } from '@reelqueue/shared/runtime/clock'
import { forgetOldAdmissions } from '@reelqueue/shared/store/queue-place'
import { HISTORY, type HistoryKind } from '@reelqueue/shared/store/retention'
import { forgetUnstorable } from '@reelqueue/shared/store/unstorable'
import type { StepDeps } from '../deps.ts'

/** Rows that a page looks at, first and at the most: those that go are locked until its end. */
const ROWS_FIRST = 100
const ROWS_MAX = 500
/** A page that took longer makes the next one smaller, a shorter one larger: many webhooks for each row make it far dearer. */
const PAGE_MAX_MS = 300
/** From the end of a sweep to the next. */
const REST_MS = 60_000

type ForgetDeps = Pick<StepDeps, 'database' | 'log' | 'settings'>

/** Sweeps, with rests spread by ±20 % so that workers do not run in step, until `signal` aborts. */
export async function forgetForever(deps: ForgetDeps & Pick<StepDeps, 'random'>, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      await forgetHistory(deps, signal)
    } catch (error) {
      deps.log.error({ event: 'history.failed', err: error })
    }
    await pause(REST_MS * (0.8 + 0.4 * deps.random()), signal)
  }
}

/**
 * One sweep. It ends between two pages when `signal` aborts.
 * @throws what concerns every page, such as a Postgres that is away
 */
export async function forgetHistory({ database, settings, log }: ForgetDeps, signal: AbortSignal): Promise<void> {
  await forgetOldAdmissions(database)
  await forgetUnstorable(database)
  if (settings.retentionDays === undefined) return
  const age = { days: settings.retentionDays, nowMs: Date.now() }
  for (const kind of HISTORY) {
    const rows = await sweep(kind)
    if (rows > 0) log.info({ event: 'history.forgotten', kind: kind.name, rows })
  }

  async function sweep(kind: HistoryKind): Promise<number> {
    let forgotten = 0
    let after = ''
    let rows = ROWS_FIRST
    while (!signal.aborted) {
      const startedAt = performance.now()
      const last = await kind.lastOfPage(database, age, after, rows)
      if (last === null) break
      forgotten += await kind.forget(database, age, after, last)
      after = last
      const tookMs = performance.now() - startedAt
      if (tookMs > PAGE_MAX_MS) rows = Math.ceil(rows / 2)
      else if (tookMs < PAGE_MAX_MS / 2) rows = Math.min(ROWS_MAX, rows * 2)
      // As long as the page took: a worker keeps half a connection busy, and Postgres has less to do where it is slow.
      await pause(tookMs, signal)
    }
    return forgotten
  }
}
