// Delivery attempts, grouped by origin: signed, sent through the guarded client, and logged.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { Wanted } from '@reelqueue/shared/store/deliveries/claims'
import type { WokenDelivery } from '@reelqueue/shared/store/deliveries/deliveries'
import { cancelUnwanted, giveUpWaiting } from '@reelqueue/shared/store/deliveries/delivery-ends'
import { restTarget } from '@reelqueue/shared/store/deliveries/target-rests'
import { conductOf } from '../delivering/outcome.ts'
import { record } from '../delivering/record.ts'
import { NOT_BUILT, send } from '../delivering/send.ts'
import type { DeliveryTurns } from '../delivery-turns.ts'
import type { StepDeps } from '../deps.ts'
import type { Conduct, Targets } from '../targets.ts'

export interface DeliverDeps extends StepDeps {
  readonly targets: Targets
}

/** Time limit of a run on due deliveries of its origin; afterwards other runs have a turn. */
const CHAIN_MAX_MS = 10_000

/** Takes in the delivery of a job; the attempt begins when the project has a turn. */
export async function deliver(
  deps: DeliverDeps,
  turns: DeliveryTurns,
  id: string,
  stopping: AbortSignal,
): Promise<StepOutcome> {
  const woken = await deps.batches.findWoken(id)
  // After the origin's cool-down, reconcile enqueues the delivery again.
  if (!woken || (woken.isResting && woken.unwantedEndpointId === null)) return { kind: 'done' }
  turns.add({
    id,
    projectId: woken.projectId,
    isProven: () => deps.targets.isProven(woken.target),
    run: () => attemptDue(deps, id, woken, stopping),
  })
  return { kind: 'done' }
}

/**
 * Attempts a delivery, then other due deliveries of the same origin, for a while or until `stopping` aborts: a few runs
 * are enough for many deliveries. While the origin has room for rejected deliveries, the run starts parallel drain
 * loops.
 */
export async function attemptDue(
  deps: DeliverDeps,
  deliveryId: string,
  { target, isDue, isResting, unwantedEndpointId }: WokenDelivery,
  stopping: AbortSignal,
): Promise<void> {
  const { database, queues } = deps
  if (unwantedEndpointId !== null) await cancelUnwanted(database, unwantedEndpointId)
  if (isResting) return
  const endsAt = performance.now() + CHAIN_MAX_MS
  const chains: Promise<unknown>[] = []
  const errors: unknown[] = []
  const begin = (first: Wanted) => chains.push(chain(first).catch((error) => errors.push(error)))

  async function chain(first: Wanted): Promise<void> {
    let wanted = first
    let before: Made | null = null
    try {
      for (;;) {
        const made = await deliverOne(deps, target, wanted)
        // The record of a successful attempt is written during the next attempt; a failed attempt is recorded first,
        // because the consequences affect the next attempt.
        await before?.recorded
        before = made
        if (made === null || stopping.aborted) return
        if (!made.succeeded) await made.recorded
        wanted = { target }
        if (performance.now() >= endsAt) {
          // Enqueued under the id of a finished delivery: the job looks for any due delivery of the origin.
          queues.enqueueAgain('deliver', made.id)
          return
        }
        if (deps.targets.takeRoomAgain(target)) begin(wanted)
      }
    } finally {
      await before?.recorded
    }
  }
  begin(isDue && unwantedEndpointId === null ? { id: deliveryId } : { target })
  // Each loop may start further loops before its end.
  for (const ended of chains) await ended
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors, 'several deliveries failed')
}

/** A finished attempt. The record may still be running; awaiting `recorded` reports an error. */
interface Made {
  readonly id: string
  readonly succeeded: boolean
  readonly recorded: Promise<void>
}

/** @returns null when nothing was claimed; otherwise more deliveries may be due */
async function deliverOne(deps: DeliverDeps, target: string, wanted: Wanted): Promise<Made | null> {
  const { database, batches, targets, log } = deps
  const admission = targets.enter(target)
  if (admission.kind !== 'go') return null
  let conduct: Conduct = 'unknown'
  try {
    let delivery = await batches.claim(wanted)
    // Deliveries rejected during the claim rely on this loop, so claim again.
    while (!delivery && targets.takeTurnedAway(target)) delivery = await batches.claim({ target })
    if (!delivery) return null
    const outcome = await send(deps, delivery).catch((cause: unknown) => ({ ...NOT_BUILT, cause }))
    conduct = conductOf(outcome)
    const recorded = record(deps, delivery, outcome)
    recorded.catch(() => undefined)
    return { id: delivery.id, succeeded: outcome.kind === 'delivered', recorded }
  } finally {
    const forMs = targets.leave(target, conduct)
    if (forMs !== null) {
      log.warn({ event: 'deliver.cooling_down', origin: target, forMs })
      await restTarget(database, target, forMs)
      await giveUpWaiting(database, target)
    }
  }
}
