// Attempts of deliveries: signed, sent through the guarded client, logged; server by server.

import { batchAtEvent } from '@reelqueue/shared/contract/batch'
import { webhookBody } from '@reelqueue/shared/contract/event'
import { generationAtEvent } from '@reelqueue/shared/contract/generation'
import { nextAttemptDelayMs } from '@reelqueue/shared/domain/retry-schedule'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { readBatch } from '@reelqueue/shared/store/batches'
import type { Database } from '@reelqueue/shared/store/database'
import {
  abandonDelivery,
  type ClaimedDelivery,
  claimDelivery,
  claimNextDelivery,
  type DeliveryVerdict,
  findDueDelivery,
  postponeDeliveries,
  recordAttempt,
} from '@reelqueue/shared/store/deliveries'
import { disableEndpoint, noteEndpointAttempt } from '@reelqueue/shared/store/endpoints'
import { readGeneration } from '@reelqueue/shared/store/generations'
import type { SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import { signWebhook } from '@reelqueue/shared/webhooks/sign'
import type { StepDeps } from '../deps.ts'
import type { Targets } from '../targets.ts'

/** The guarded client gives up after 15 s; half a minute more, and the attempt counts as lost. */
const LEASE_MS = 45_000
/** Longer waits are left to reconcile: a job for each of them would make Redis grow with the backlog. */
const LATER_MAX_MS = 15_000
const HTTP_GONE = 410

export interface DeliverDeps extends StepDeps {
  readonly targets: Targets
}

/**
 * Attempts a delivery, and where more is due for the same server than may be under way, that too, until `stopping` aborts: few
 * jobs are enough for many deliveries.
 */
export async function deliver(deps: DeliverDeps, deliveryId: string, stopping: AbortSignal): Promise<StepOutcome> {
  const { database, targets } = deps
  const due = await findDueDelivery(database, deliveryId)
  if (!due) return { kind: 'done' }
  if (due.isUnwanted) {
    await abandonDelivery(database, deliveryId)
    return { kind: 'done' }
  }
  const { origin } = due
  const claimFirst = () => claimDelivery(database, deliveryId, LEASE_MS)
  const claimNext = () => claimNextDelivery(database, origin, LEASE_MS)
  for (let claim = claimFirst; ; claim = claimNext) {
    const admission = targets.enter(origin)
    if (admission.kind === 'resting') await postponeDeliveries(database, { id: deliveryId }, admission.forMs)
    if (admission.kind !== 'go') return { kind: 'done' }
    // Neither a lost claim nor an error of ours says anything about the server.
    let answered = true
    let delivery: ClaimedDelivery | null = null
    try {
      delivery = await claim()
      if (delivery) answered = await attempt(deps, delivery)
    } finally {
      const restsMs = targets.leave(origin, answered)
      if (restsMs !== null) await rest(deps, origin, restsMs)
    }
    if (!delivery && claim === claimNext) targets.emptied(origin)
    if (!delivery || stopping.aborted || !targets.isCrowded(origin)) return { kind: 'done' }
  }
}

/** All that is due for a server that does not answer waits until it is tried again. */
async function rest({ database, log }: DeliverDeps, origin: string, forMs: number): Promise<void> {
  log.warn({ event: 'deliver.resting', origin, forMs })
  await postponeDeliveries(database, { origin }, forMs)
}

/** Makes one attempt and records it. @returns whether the server answered, as far as it was asked */
async function attempt(deps: DeliverDeps, delivery: ClaimedDelivery): Promise<boolean> {
  const { database, log, queues } = deps
  const outcome = await send(deps, delivery).catch((cause: unknown) => ({ ...NOT_BUILT, cause }))
  const { httpStatus, errorClass, message, replySnippet, durationMs } = outcome
  const verdict = verdictOf(outcome, delivery.scheduled, deps.random())
  await recordAttempt(
    database,
    { deliveryId: delivery.id, attempt: delivery.attempt, httpStatus, errorClass, message, replySnippet, durationMs },
    verdict,
  )
  if (delivery.endpoint) await noteEndpoint(deps, delivery.endpoint, outcome)
  log[errorClass === 'refused_address' ? 'warn' : 'info']({
    event: 'deliver.attempted',
    deliveryId: delivery.id,
    eventId: delivery.event.id,
    type: delivery.event.type,
    attempt: delivery.attempt,
    outcome: outcome.kind,
    errorClass,
    ...(errorClass === 'refused_address' && {
      hint: 'To allow a private network, name it in WEBHOOK_ALLOWED_NETWORKS.',
    }),
    httpStatus,
    state: verdict.state,
    durationMs: Math.round(durationMs),
  })
  // The attempt is on record; the failed job shows the operator why.
  if ('cause' in outcome) throw outcome.cause
  if (verdict.state === 'pending' && verdict.retryMs <= LATER_MAX_MS)
    queues.wakeLater('deliver', delivery.id, verdict.retryMs)
  return httpStatus !== null || !isSilence(errorClass)
}

const SILENT: readonly (string | null)[] = ['dns', 'connect', 'tls', 'timeout', 'reset', 'bad_reply']

const isSilence = (errorClass: string | null) => SILENT.includes(errorClass)

/** What an attempt says of its endpoint: one that is gone, or did nothing but fail for days, gets nothing more. */
async function noteEndpoint(
  { database, queues, log }: DeliverDeps,
  { id, isFailing }: { readonly id: string; readonly isFailing: boolean },
  { kind, httpStatus }: Pick<SendOutcome, 'kind' | 'httpStatus'>,
): Promise<void> {
  const succeeded = kind === 'delivered'
  if (succeeded && !isFailing) return
  const isGone = httpStatus === HTTP_GONE
  if (!(await noteEndpointAttempt(database, id, succeeded)) && !isGone) return
  const reason = isGone ? 'gone' : 'failing'
  const owed = await disableEndpoint(database, id, reason)
  log.warn({ event: 'endpoint.disabled', endpointId: id, reason })
  queues.wake(
    'deliver',
    owed.map((deliveryId) => ({ id: deliveryId, wakes: 0 })),
  )
}

/** An attempt that never left the house: a secret that does not open, a snapshot that does not parse. */
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
  const body = webhookBody(delivery.event, await subjectOf(database, delivery))
  const signature = signWebhook({
    id: delivery.event.id,
    timestamp: new Date(),
    body,
    secrets: delivery.sealedSecrets.map((sealed) => sealer.open(sealed)),
  })
  const headers = { 'content-type': 'application/json', 'user-agent': 'Reelqueue', ...signature }
  return await webhooks.post(delivery.url, headers, body)
}

/** The generation or batch as it was when the event happened. */
async function subjectOf(database: Database, { event }: ClaimedDelivery): Promise<unknown> {
  if (event.generationId !== null)
    return generationAtEvent(await readGeneration(database, event.generationId), event.data)
  // Of an endpoint the event itself says all.
  if (event.endpointId !== null) return event.data
  if (event.batchId !== null) return batchAtEvent(await readBatch(database, event.batchId), event.data)
  throw new Error(`the event ${event.id} has no subject`)
}

/**
 * What follows from an attempt. Pure; `random` is from 0 to 1.
 * @param attempt its number in the schedule
 */
export function verdictOf(
  outcome: Pick<SendOutcome, 'kind' | 'httpStatus' | 'retryAfterMs' | 'final'> & { readonly errorClass: string | null },
  attempt: number,
  random: number,
): DeliveryVerdict {
  if (outcome.kind === 'delivered') return { state: 'succeeded' }
  // 410 is how a receiver says that it wants no more.
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
