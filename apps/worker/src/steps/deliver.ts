// Delivery attempts, grouped by origin: signed, sent through the guarded client, and logged.

import { batchAtEvent } from '@reelqueue/contract/wire/batch'
import { generationAtEvent } from '@reelqueue/contract/wire/generation'
import {
  batchSubject,
  endpointSubject,
  generationSubject,
  type WebhookSubject,
  webhookBody,
} from '@reelqueue/contract/wire/webhook-body'
import { nextAttemptDelayMs } from '@reelqueue/shared/domain/retry-schedule'
import { headerPlace, secretPlace } from '@reelqueue/shared/domain/sealed-places'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { Database } from '@reelqueue/shared/store/database'
import type {
  ClaimedDelivery,
  DeliveryVerdict,
  Wanted,
  WokenDelivery,
} from '@reelqueue/shared/store/deliveries/deliveries'
import { cancelUnwanted, giveUpWaiting } from '@reelqueue/shared/store/deliveries/delivery-ends'
import { disableEndpoint, FAILING_MAX_MS, noteFailing } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { isSameOrigin } from '@reelqueue/shared/store/deliveries/endpoint-headers'
import { restTarget } from '@reelqueue/shared/store/deliveries/target-rests'
import { readBatch } from '@reelqueue/shared/store/intake/batches'
import type { SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import { signWebhook } from '@reelqueue/shared/webhooks/sign'
import type { DeliveryTurns } from '../delivery-turns.ts'
import type { StepDeps } from '../deps.ts'
import type { Conduct, Targets } from '../targets.ts'

/** Longer waits are left to reconcile: a job for each waiting delivery would make Redis grow with the backlog. */
const LATER_MAX_MS = 15_000
const HTTP_GONE = 410

export interface DeliverDeps extends StepDeps {
  readonly targets: Targets
}

/** Time limit of a run on due deliveries of its origin; afterwards other runs have a turn. */
const CHAIN_MAX_MS = 10_000
/** Slower answers count as slow, answers within QUICK_MS as quick. */
const SLOW_MS = 2_000
const QUICK_MS = 250

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

type Outcome = SendOutcome | (typeof NOT_BUILT & { readonly cause: unknown })

/** The origin's behaviour in an attempt. Pure. */
export function conductOf({
  kind,
  errorClass,
  httpStatus,
  durationMs,
}: Pick<Outcome, 'kind' | 'errorClass' | 'httpStatus' | 'durationMs'>): Conduct {
  if (errorClass !== null && SILENT.includes(errorClass)) return 'silent'
  if (httpStatus === null) return 'unknown'
  if (durationMs > SLOW_MS) return 'slow'
  // Quick refusals do not raise the limit of parallel deliveries.
  return kind === 'delivered' && durationMs <= QUICK_MS ? 'quick' : 'answered'
}

const ALLOW_NETWORK = 'To allow a private network, name the network in WEBHOOK_ALLOWED_NETWORKS.'

/** Records an attempt and the consequences. */
async function record(deps: DeliverDeps, delivery: ClaimedDelivery, outcome: Outcome): Promise<void> {
  const { batches, log, afterCommit } = deps
  const { httpStatus, errorClass, message, replySnippet, durationMs } = outcome
  const verdict = verdictOf(outcome, delivery.scheduled, deps.random())
  const made = {
    deliveryId: delivery.id,
    attempt: delivery.attempt,
    httpStatus,
    errorClass,
    message,
    replySnippet,
    durationMs,
  }
  await batches.record({ attempt: made, verdict })
  const line = {
    deliveryId: delivery.id,
    eventId: delivery.event.id,
    type: delivery.event.type,
    attempt: delivery.attempt,
    outcome: outcome.kind,
    errorClass,
    httpStatus,
    state: verdict.state,
    durationMs: Math.round(durationMs),
  }
  if ('cause' in outcome) log.error({ event: 'deliver.not_built', ...line, err: outcome.cause })
  else if (errorClass === 'refused_address') log.warn({ event: 'deliver.address_refused', ...line, fix: ALLOW_NETWORK })
  else log.info({ event: 'deliver.attempted', ...line })
  if (verdict.state === 'pending' && verdict.retryMs <= LATER_MAX_MS)
    afterCommit({ retry: { deliveryId: delivery.id, delayMs: verdict.retryMs } })
  if (delivery.endpoint && errorClass !== 'internal') await noteEndpoint(deps, delivery, delivery.endpoint, outcome)
}

const SILENT: readonly string[] = ['dns', 'connect', 'tls', 'timeout', 'reset', 'bad_reply']

/** Disables an endpoint that is gone or has only failed for days. */
async function noteEndpoint(
  { database, afterCommit, log }: DeliverDeps,
  { url }: Pick<ClaimedDelivery, 'url'>,
  { id, failingSince }: { readonly id: string; readonly failingSince: Date | null },
  { kind, httpStatus }: Pick<SendOutcome, 'kind' | 'httpStatus'>,
): Promise<void> {
  const failing = kind !== 'delivered'
  if (failing !== (failingSince !== null)) await noteFailing(database, { id, url }, failing)
  const isGone = httpStatus === HTTP_GONE
  const isGivenUp = failingSince !== null && Date.now() - failingSince.getTime() > FAILING_MAX_MS
  if (!failing || !(isGone || isGivenUp)) return
  const reason = isGone ? 'gone' : 'failing'
  const owed = await disableEndpoint(database, { id, url }, reason)
  if (owed === null) return
  log.warn({ event: 'endpoint.disabled', endpointId: id, reason })
  afterCommit({ deliveries: owed })
}

/** An attempt that sent nothing: a secret that cannot be opened, or a snapshot that cannot be parsed. */
const NOT_BUILT = {
  kind: 'failed',
  httpStatus: null,
  errorClass: 'internal',
  message: 'The request could not be built: see the log of Reelqueue.',
  replySnippet: null,
  durationMs: 0,
  retryAfterMs: null,
  final: false,
} as const

async function send({ database, sealer, webhooks }: StepDeps, delivery: ClaimedDelivery): Promise<SendOutcome> {
  const body = webhookBody(delivery.event, await subjectOf(database, delivery), delivery.payload)
  const signature = signWebhook({
    id: delivery.event.id,
    timestamp: new Date(),
    body,
    secrets: delivery.sealedSecrets.map((sealed) =>
      sealer.open(sealed, secretPlace(delivery.endpoint?.id ?? delivery.projectId)),
    ),
  })
  const custom = customHeaders(delivery, sealer)
  // Our headers come last, so no custom header can replace one.
  const headers = { ...custom, 'content-type': 'application/json', 'user-agent': 'Reelqueue', ...signature }
  const outcome = await webhooks.post(delivery.projectId, delivery.url, headers, body)
  return { ...outcome, replySnippet: outcome.replySnippet && withoutValues(outcome.replySnippet, custom) }
}

/** Custom headers go only to the endpoint's own origin: a delivery may still have an earlier URL of the endpoint. */
function customHeaders({ endpoint, url }: ClaimedDelivery, sealer: StepDeps['sealer']): Record<string, string> {
  if (endpoint === null || !isSameOrigin(endpoint.url, url)) return {}
  const { id, sealedHeaders } = endpoint
  return Object.fromEntries(
    Object.entries(sealedHeaders).map(([name, sealed]) => [name, sealer.open(sealed, headerPlace(id, name))]),
  )
}

/** Shorter values could be part of any text. */
const HIDDEN_CHARS_MIN = 4

/** Hides header values that a server echoes, so the log shows no secrets. */
function withoutValues(text: string, headers: Readonly<Record<string, string>>): string {
  return Object.values(headers)
    .filter((value) => value.length >= HIDDEN_CHARS_MIN)
    .reduce((rest, value) => rest.replaceAll(value, '[hidden]'), text)
}

/** The generation, batch or endpoint at the time of the event. */
async function subjectOf(database: Database, { event, generation }: ClaimedDelivery): Promise<WebhookSubject> {
  if (event.generationId !== null) {
    if (generation === null) throw new Error(`the generation of the event ${event.id} is gone`)
    return generationSubject(generationAtEvent(generation, event.data))
  }
  if (event.batchId !== null) return batchSubject(batchAtEvent(await readBatch(database, event.batchId), event.data))
  return endpointSubject(event.data)
}

/**
 * The outcome of an attempt. Pure; `random` is from 0 to 1.
 * @param attempt number in the retry schedule
 */
export function verdictOf(
  outcome: Pick<SendOutcome, 'kind' | 'httpStatus' | 'retryAfterMs' | 'final'> & { readonly errorClass: string | null },
  attempt: number,
  random: number,
): DeliveryVerdict {
  if (outcome.kind === 'delivered') return { state: 'succeeded' }
  // With 410 a receiver asks for no more webhooks.
  if (outcome.final || outcome.httpStatus === HTTP_GONE) return { state: 'failed' }
  const retryMs = nextAttemptDelayMs({
    attempt,
    httpStatus: outcome.httpStatus,
    timedOut: outcome.errorClass === 'timeout',
    retryAfterMs: outcome.retryAfterMs,
    random,
  })
  return retryMs === null ? { state: 'failed' } : { state: 'pending', retryMs }
}
