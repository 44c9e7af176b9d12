// The record of an attempt, and what the attempt means for the endpoint.

import type { ClaimedDelivery } from '@reelqueue/shared/store/deliveries/claimed-delivery'
import { disableEndpoint, FAILING_MAX_MS, noteFailing } from '@reelqueue/shared/store/deliveries/endpoint-events'
import type { SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import type { StepDeps } from '../deps.ts'
import { decisionOf, HTTP_GONE } from './outcome.ts'
import type { Outcome } from './send.ts'

/** Longer waits are left to reconcile: a job for each waiting delivery would make Redis grow with the backlog. */
const LATER_MAX_MS = 15_000

const ALLOW_NETWORK = 'To allow a private network, name the network in WEBHOOK_ALLOWED_NETWORKS.'

/** Records an attempt and the consequences. */
export async function record(deps: StepDeps, delivery: ClaimedDelivery, outcome: Outcome): Promise<void> {
  const { batches, log, afterCommit } = deps
  const { httpStatus, errorClass, message, replySnippet, durationMs } = outcome
  const decision = decisionOf(outcome, delivery.scheduled, deps.random())
  const made = {
    deliveryId: delivery.id,
    attempt: delivery.attempt,
    httpStatus,
    errorClass,
    message,
    replySnippet,
    durationMs,
  }
  await batches.record({ attempt: made, decision })
  const line = {
    deliveryId: delivery.id,
    eventId: delivery.event.id,
    type: delivery.event.type,
    attempt: delivery.attempt,
    outcome: outcome.kind,
    errorClass,
    httpStatus,
    state: decision.state,
    durationMs: Math.round(durationMs),
  }
  if ('cause' in outcome) log.error({ event: 'deliver.not_built', ...line, err: outcome.cause })
  else if (errorClass === 'refused_address') log.warn({ event: 'deliver.address_refused', ...line, fix: ALLOW_NETWORK })
  else log.info({ event: 'deliver.attempted', ...line })
  if (decision.state === 'pending' && decision.retryMs <= LATER_MAX_MS)
    afterCommit({ retry: { deliveryId: delivery.id, delayMs: decision.retryMs } })
  if (delivery.endpoint && errorClass !== 'internal') await noteEndpoint(deps, delivery, delivery.endpoint, outcome)
}

/** Disables an endpoint that is gone or has only failed for days. */
async function noteEndpoint(
  { database, afterCommit, log }: StepDeps,
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
  const deliveryIds = await disableEndpoint(database, { id, url }, reason)
  if (deliveryIds === null) return
  log.warn({ event: 'endpoint.disabled', endpointId: id, reason })
  afterCommit({ deliveries: deliveryIds })
}
