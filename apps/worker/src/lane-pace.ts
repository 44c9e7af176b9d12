// Lanes come by every second while something is to be polled soon, and rest while nothing is: an idle installation is idle. What
// becomes due soon wakes them (`queues.lanes.wake`); reconcile does so when that was lost.

import { isBusyRun, isDecidingRun, layLanes, lookAtLanes } from '@reelqueue/shared/queues/lanes'
import { isPollDueWithin } from '@reelqueue/shared/store/polling'
import type { StepDeps } from './deps.ts'

/** Beyond the longest time between two rounds of reconcile: while clips are asked about every minute, lanes do not rest in between. */
const MARGIN_MS = 60_000

/** Whether lanes have to be busy, or will before the next round of reconcile. */
export async function isWorkAhead({ database, settings }: Pick<StepDeps, 'database' | 'settings'>): Promise<boolean> {
  return await isPollDueWithin(database, 1.2 * settings.reconcileIntervalMs + MARGIN_MS)
}

/** After a run of a lane: `hasPolled` anything. */
export async function keepPace(deps: StepDeps, runId: string, hasPolled: boolean): Promise<void> {
  const { queues, log } = deps
  const { poll } = queues.queues
  const isBusy = isBusyRun(runId)
  if (!hasPolled && isBusy && !isDecidingRun(runId)) return
  if (hasPolled || (await isWorkAhead(deps))) {
    if (isBusy) queues.lanes.seen(true)
    else await layLanes(poll, (await lookAtLanes(poll)).resting, 'busy')
    return
  }
  if (!isDecidingRun(runId)) return
  queues.lanes.seen(false)
  // Also when it rests itself: workers that start at the same moment may have laid the others as busy after that.
  const { busy } = await lookAtLanes(poll)
  if (busy.length === 0) return
  await layLanes(poll, busy, 'resting')
  log.debug({ event: 'lanes.resting', lanes: busy })
}
