// One attempt of one delivery: signed, sent through the guarded client, logged.

import { batchAtEvent } from '@reelqueue/shared/contract/batch'
import { webhookBody } from '@reelqueue/shared/contract/event'
import { generationAtEvent } from '@reelqueue/shared/contract/generation'
import { nextAttemptDelayMs } from '@reelqueue/shared/domain/retry-schedule'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { readBatch } from '@reelqueue/shared/store/batches'
import type { Database } from '@reelqueue/shared/store/database'
import {
  type ClaimedDelivery,
  claimDelivery,
  type DeliveryVerdict,
  recordAttempt,
} from '@reelqueue/shared/store/deliveries'
import { readGeneration } from '@reelqueue/shared/store/generations'
import type { SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import { signWebhook } from '@reelqueue/shared/webhooks/sign'
import type { StepDeps } from '../deps.ts'

/** The guarded client gives up after 15 s; half a minute more, and the attempt counts as lost. */
const LEASE_MS = 45_000
/** Longer waits are left to reconcile: a job for each of them would make Redis grow with the backlog. */
const LATER_MAX_MS = 15_000
const HTTP_GONE = 410

export async function deliver(deps: StepDeps, deliveryId: string): Promise<StepOutcome> {
  const delivery = await claimDelivery(deps.database, deliveryId, LEASE_MS)
  if (!delivery) return { kind: 'done' }
  const outcome = await send(deps, delivery).catch((cause: unknown) => ({ ...NOT_BUILT, cause }))
  const { httpStatus, errorClass, message, replySnippet, durationMs } = outcome
  const verdict = verdictOf(outcome, delivery.attempt, deps.random())
  await recordAttempt(
    deps.database,
    { deliveryId, attempt: delivery.attempt, httpStatus, errorClass, message, replySnippet, durationMs },
    verdict,
  )
  const level = errorClass === 'refused_address' ? 'warn' : 'info'
  deps.log[level]({
    event: 'deliver.attempted',
    deliveryId,
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
  return verdict.state === 'pending' && verdict.retryMs <= LATER_MAX_MS
    ? { kind: 'later', delayMs: verdict.retryMs }
    : { kind: 'done' }
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
    secrets: [sealer.open(delivery.sealedSecret)],
  })
  const headers = { 'content-type': 'application/json', 'user-agent': 'Reelqueue', ...signature }
  return await webhooks.post(delivery.url, headers, body)
}

/** The generation or batch as it was when the event happened. */
async function subjectOf(database: Database, { event }: ClaimedDelivery): Promise<unknown> {
  if (event.generationId !== null)
    return generationAtEvent(await readGeneration(database, event.generationId), event.data)
  if (event.batchId !== null) return batchAtEvent(await readBatch(database, event.batchId), event.data)
  throw new Error(`the event ${event.id} has no subject`)
}

/** What follows from an attempt. Pure; `random` is from 0 to 1. */
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
