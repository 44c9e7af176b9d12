// Heals whatever a crash or a lost Redis left behind: finds overdue rows in Postgres and wakes their steps. A timer in
// every worker, not a queue job: it must outlive the Redis that it heals.

import { ensureLanes } from '@reelqueue/shared/queues/lanes'
import type { QueueName } from '@reelqueue/shared/queues/queues'
import { pause } from '@reelqueue/shared/runtime/clock'
import { finishBatches } from '@reelqueue/shared/store/batches'
import { claimOverdueDeliveries, claimOverdueGenerations, endedBatches } from '@reelqueue/shared/store/overdue'
import type { StepDeps } from '../deps.ts'

/** Rows claimed by one statement. */
const PAGE = 500
/** Pages of one round: the next round, or another worker, goes on. */
const PAGES_MAX = 20
/** Waiting jobs of one queue beyond which reconcile adds none. */
const BACKLOG_MAX = 2_000

/** Runs rounds, spread by ±20 % so that workers do not run in step, until `signal` aborts. */
export async function reconcileForever(deps: StepDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await reconcile(deps)
    await pause(deps.settings.reconcileIntervalMs * (0.8 + 0.4 * deps.random()), signal)
  }
}

/** One round. Its parts stand alone: a queue that is down must not keep Postgres from being healed. */
export async function reconcile(deps: StepDeps): Promise<void> {
  const { database, queues, log } = deps
  const parts: Record<string, () => Promise<void>> = {
    lanes: async () => {
      const laid = await ensureLanes(queues.queues.poll)
      if (laid.length > 0) log.info({ event: 'reconcile.lanes', laid })
    },
    generations: () =>
      inPages(async () => {
        if (await isFull(deps, 'submit', 'complete')) return 0
        const { submit, complete } = await claimOverdueGenerations(database, PAGE)
        queues.wake('submit', submit)
        queues.wake('complete', complete)
        if (submit.length + complete.length > 0) {
          log.info({ event: 'reconcile.generations', submit: submit.length, complete: complete.length })
        }
        return submit.length + complete.length
      }),
    deliveries: () =>
      inPages(async () => {
        if (await isFull(deps, 'deliver')) return 0
        const due = await claimOverdueDeliveries(database, PAGE)
        queues.wake('deliver', due)
        if (due.length > 0) log.info({ event: 'reconcile.deliveries', deliveries: due.length })
        return due.length
      }),
    batches: async () => {
      const deliveryIds = await finishBatches(database, await endedBatches(database, PAGE))
      queues.wake(
        'deliver',
        deliveryIds.map((id) => ({ id, wakes: 0 })),
      )
    },
  }
  await Promise.all(
    Object.entries(parts).map(async ([part, heal]) => {
      try {
        await heal()
      } catch (error) {
        log.error({ event: 'reconcile.failed', part, err: error })
      }
    }),
  )
  deps.admit()
}

/**
 * Whether jobs enough wait already: a paused queue, or one without a worker, must not grow with every round. A queue
 * that does not answer throws, and its rows stay due for the moment when it does.
 */
async function isFull({ queues }: StepDeps, ...names: readonly QueueName[]): Promise<boolean> {
  const backlogs = await Promise.all(names.map((name) => queues.backlog(name)))
  return backlogs.some((backlog) => backlog >= BACKLOG_MAX)
}

/** Repeats `claim` while it fills whole pages, up to a bound. */
async function inPages(claim: () => Promise<number>): Promise<void> {
  for (let page = 0; page < PAGES_MAX; page++) {
    if ((await claim()) < PAGE) return
  }
}
