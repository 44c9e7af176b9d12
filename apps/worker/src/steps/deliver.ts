// Delivery attempts, grouped by origin: signed, sent through the guarded client, and logged.

import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { Wanted } from '@reelqueue/shared/store/deliveries/claims'
import { startCoolDown } from '@reelqueue/shared/store/deliveries/cool-downs'
import type { DispatchedDelivery } from '@reelqueue/shared/store/deliveries/deliveries'
import { cancelUnwanted, giveUpWaiting } from '@reelqueue/shared/store/deliveries/delivery-ends'
import { healthOf } from '../delivering/outcome.ts'
import { record } from '../delivering/record.ts'
import { NOT_BUILT, send } from '../delivering/send.ts'
import type { DeliveryTurns } from '../delivery-turns.ts'
import type { StepDeps } from '../deps.ts'
import type { OriginHealth, Origins } from '../origins.ts'

export interface DeliverDeps extends StepDeps {
  readonly origins: Origins
}

/** Time limit of a run on due deliveries of its origin; afterwards other runs have a turn. */
const DRAIN_MAX_MS = 10_000

/** Takes in the delivery of a job; the attempt begins when the project has a turn. */
export async function deliver(
  deps: DeliverDeps,
  turns: DeliveryTurns,
  id: string,
  stopping: AbortSignal,
): Promise<StepOutcome> {
  const dispatched = await deps.batches.findDispatched(id)
  // After the origin's cool-down, reconcile enqueues the delivery again.
  if (!dispatched || (dispatched.isCoolingDown && dispatched.unwantedEndpointId === null)) return { kind: 'done' }
  turns.add({
    id,
    projectId: dispatched.projectId,
    isProven: () => deps.origins.isProven(dispatched.origin),
    run: () => attemptDue(deps, id, dispatched, stopping),
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
  { origin, isDue, isCoolingDown, unwantedEndpointId }: DispatchedDelivery,
  stopping: AbortSignal,
): Promise<void> {
  const { database, queues } = deps
  if (unwantedEndpointId !== null) await cancelUnwanted(database, unwantedEndpointId)
  if (isCoolingDown) return
  const endsAt = performance.now() + DRAIN_MAX_MS
  const loops: Promise<unknown>[] = []
  const errors: unknown[] = []
  const begin = (first: Wanted) => loops.push(drain(first).catch((error) => errors.push(error)))

  async function drain(first: Wanted): Promise<void> {
    let wanted = first
    let before: Made | null = null
    try {
      for (;;) {
        const made = await deliverOne(deps, origin, wanted)
        // The record of a successful attempt is written during the next attempt; a failed attempt is recorded first,
        // because the consequences affect the next attempt.
        await before?.recorded
        before = made
        if (made === null || stopping.aborted) return
        if (!made.succeeded) await made.recorded
        wanted = { origin }
        if (performance.now() >= endsAt) {
          // Enqueued under the id of a finished delivery: the job looks for any due delivery of the origin.
          queues.enqueueAgain('deliver', made.id)
          return
        }
        if (deps.origins.takeRoomAgain(origin)) begin(wanted)
      }
    } finally {
      await before?.recorded
    }
  }
  begin(isDue && unwantedEndpointId === null ? { id: deliveryId } : { origin })
  // Each loop may start further loops before its end.
  for (const ended of loops) await ended
  if (errors.length > 0) throw errors.length === 1 ? errors[0] : new AggregateError(errors, 'several deliveries failed')
}

/** A finished attempt. The record may still be running; awaiting `recorded` reports an error. */
interface Made {
  readonly id: string
  readonly succeeded: boolean
  readonly recorded: Promise<void>
}

/** @returns null when nothing was claimed; otherwise more deliveries may be due */
async function deliverOne(deps: DeliverDeps, origin: string, wanted: Wanted): Promise<Made | null> {
  const { database, batches, origins, log } = deps
  const permit = origins.enter(origin)
  if (permit.kind !== 'go') return null
  let health: OriginHealth = 'unknown'
  try {
    let delivery = await batches.claim(wanted)
    // Deliveries rejected during the claim rely on this loop, so claim again.
    while (!delivery && origins.takeOverflow(origin)) delivery = await batches.claim({ origin })
    if (!delivery) return null
    const outcome = await send(deps, delivery).catch((cause: unknown) => ({ ...NOT_BUILT, cause }))
    health = healthOf(outcome)
    const recorded = record(deps, delivery, outcome)
    recorded.catch(() => undefined)
    return { id: delivery.id, succeeded: outcome.kind === 'delivered', recorded }
  } finally {
    const forMs = origins.leave(origin, health)
    if (forMs !== null) {
      log.warn({ event: 'deliver.cooling_down', origin, forMs })
      await startCoolDown(database, origin, forMs)
      await giveUpWaiting(database, origin)
    }
  }
}
