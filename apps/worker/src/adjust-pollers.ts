// Pollers run every second while a poll is due soon, and rest otherwise: an idle installation is idle. Work that
// becomes due soon makes pollers busy (`queues.pollers.start`); reconcile repeats a lost call.

import { ensurePollers, isBusyRun, isDecidingRun, readPollers } from '@reelqueue/shared/queues/pollers'
import { isPollDueWithin } from '@reelqueue/shared/store/lifecycle/polling'
import type { StepDeps } from './deps.ts'

/**
 * Added to the longest time between two rounds of reconcile: with polls every minute, pollers do not rest in between.
 */
const MARGIN_MS = 60_000

/** Whether pollers must be busy now or before the next round of reconcile. */
export async function isWorkAhead({ database, settings }: Pick<StepDeps, 'database' | 'settings'>): Promise<boolean> {
  return await isPollDueWithin(database, 1.2 * settings.reconcileIntervalMs + MARGIN_MS)
}

/** Called after a poller run; `hasPolled` tells whether the run polled anything. */
export async function adjustPollers(deps: StepDeps, runId: string, hasPolled: boolean): Promise<void> {
  const { queues, log } = deps
  const { poll } = queues.queues
  const isBusy = isBusyRun(runId)
  if (!hasPolled && isBusy && !isDecidingRun(runId)) return
  if (hasPolled || (await isWorkAhead(deps))) {
    if (isBusy) queues.pollers.seen(true)
    else await ensurePollers(poll, (await readPollers(poll)).resting, 'busy')
    return
  }
  if (!isDecidingRun(runId)) return
  queues.pollers.seen(false)
  // Checked even when this poller rests: workers that start at the same moment may have made the other pollers busy
  // later.
  const { busy } = await readPollers(poll)
  if (busy.length === 0) return
  await ensurePollers(poll, busy, 'resting')
  log.debug({ event: 'pollers.resting', pollers: busy })
}
