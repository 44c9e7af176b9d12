// Recovers from crashes and a lost Redis: finds overdue rows in Postgres and enqueues their steps. A timer in every
// worker, not a queue job: reconcile must survive the loss of Redis.

import { ensurePollers, readPollers } from '@reelqueue/shared/queues/pollers'
import type { QueueName } from '@reelqueue/shared/queues/queues'
import { pause } from '@reelqueue/shared/runtime/clock'
import { purgeCoolDowns } from '@reelqueue/shared/store/deliveries/cool-downs'
import { cancelUnwanted, findUnwanted } from '@reelqueue/shared/store/deliveries/delivery-ends'
import { finishBatches } from '@reelqueue/shared/store/intake/batches'
import {
  claimOverdueDeliveries,
  claimOverdueGenerations,
  endedBatches,
  requeueNow,
} from '@reelqueue/shared/store/lifecycle/overdue'
import { isWorkAhead } from '../adjust-pollers.ts'
import type { StepDeps } from '../deps.ts'

/** Rows of a claim. */
const PAGE = 500
/** Rows of a kind requeued by a statement. */
const REQUEUE_PAGE = 5_000
/** Page limit of a round: the next round, or another worker, continues. */
const PAGES_MAX = 20
/** Reconcile adds no jobs to a queue with more waiting jobs. */
const BACKLOG_MAX = 2_000
/** The steps of generations enqueued by reconcile; pollers find due polls themselves. */
const STEPS = ['submit', 'complete'] as const

/** Runs rounds until `signal` aborts. Pauses vary by ±20 % so that workers do not run in step. */
export async function reconcileForever(deps: StepDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await reconcile(deps)
    await pause(deps.settings.reconcileIntervalMs * (0.8 + 0.4 * deps.random()), signal)
  }
}

/**
 * One round. The parts are independent: a queue that is down must not prevent recovery in Postgres. Pollers come first,
 * because missing pollers mean that other jobs are lost too.
 */
export async function reconcile(deps: StepDeps): Promise<void> {
  await recover(deps, 'pollers', recoverPollers)
  await Promise.all([
    recover(deps, 'generations', enqueueGenerations),
    recover(deps, 'deliveries', enqueueDeliveries),
    recover(deps, 'endpoints', cancelPending),
    recover(deps, 'batches', finishEnded),
    recover(deps, 'changes', takeOverChanges),
    recover(deps, 'cool_downs', ({ database }) => purgeCoolDowns(database)),
  ])
  deps.afterCommit({ admissionDue: true })
}

async function recover(deps: StepDeps, part: string, act: (deps: StepDeps) => Promise<void>): Promise<void> {
  try {
    await act(deps)
  } catch (error) {
    deps.log.error({ event: 'reconcile.failed', part, err: error })
  }
}

async function recoverPollers(deps: StepDeps): Promise<void> {
  const { database, queues, log } = deps
  const { poll } = queues.queues
  const { lost, resting } = await readPollers(poll)
  const hasDropped = queues.takeDropped()
  if (hasDropped || lost.length > 0) {
    let requeued = 0
    try {
      await inPages(REQUEUE_PAGE, async () => {
        const count = await requeueNow(database, REQUEUE_PAGE)
        requeued += count
        return count
      })
    } catch (error) {
      if (hasDropped) queues.returnDropped()
      throw error
    }
    if (requeued > 0) log.info({ event: 'reconcile.requeued', rows: requeued })
  }
  // Work that becomes due soon makes pollers busy, but the call can be lost.
  if (resting.length > 0 && (await isWorkAhead(deps))) await ensurePollers(poll, resting, 'busy')
  if (lost.length === 0) return
  // Recreate pollers last: after a crash before this line, the next round finds the pollers missing and repeats the
  // recovery.
  await ensurePollers(poll, lost, 'busy')
  log.info({ event: 'reconcile.pollers', created: lost })
}

async function enqueueGenerations(deps: StepDeps): Promise<void> {
  const { database, afterCommit, log } = deps
  await inPages(PAGE, async () => {
    // Check each queue separately: a paused `submit` queue must not stop `complete` from running.
    const full = await Promise.all(STEPS.map((step) => isFull(deps, step)))
    const steps = STEPS.filter((_, index) => !full[index])
    const { submit, complete } = await claimOverdueGenerations(database, PAGE, steps)
    afterCommit({ due: { submit, complete } })
    if (submit.length + complete.length > 0) {
      log.info({ event: 'reconcile.generations', submit: submit.length, complete: complete.length })
    }
    return submit.length + complete.length
  })
}

async function enqueueDeliveries(deps: StepDeps): Promise<void> {
  const { database, afterCommit, log } = deps
  await inPages(PAGE, async () => {
    if (await isFull(deps, 'deliver')) return 0
    const due = await claimOverdueDeliveries(database, PAGE)
    afterCommit({ due: { deliver: due } })
    if (due.length > 0) log.info({ event: 'reconcile.deliveries', deliveries: due.length })
    return due.length
  })
}

/** Cancels pending deliveries of disabled endpoints, a limited number in each round. */
async function cancelPending({ database, log }: StepDeps): Promise<void> {
  for (const endpointId of await findUnwanted(database)) {
    let pages = 1
    while ((await cancelUnwanted(database, endpointId)) && pages < PAGES_MAX) pages++
    log.info({ event: 'reconcile.deliveries_cancelled', endpointId, pages })
  }
}

async function finishEnded({ database, afterCommit }: StepDeps): Promise<void> {
  afterCommit({ deliveries: await finishBatches(database, await endedBatches(database, PAGE)) })
}

/** Takes over batch changes and fan-outs of dead processes, in the background. */
async function takeOverChanges({ changer, fanOuts }: StepDeps): Promise<void> {
  await changer.takeOver()
  await fanOuts.takeOver()
}

/**
 * Whether enough jobs are waiting: a paused queue, or a queue without workers, must not grow with every round. A queue
 * that does not answer throws, and the rows stay due.
 */
async function isFull({ queues }: StepDeps, name: QueueName): Promise<boolean> {
  return (await queues.backlog(name)) >= BACKLOG_MAX
}

/** Repeats `claim` while `claim` fills whole pages of `size`, up to PAGES_MAX. */
async function inPages(size: number, claim: () => Promise<number>): Promise<void> {
  for (let page = 0; page < PAGES_MAX; page++) {
    if ((await claim()) < size) return
  }
}
