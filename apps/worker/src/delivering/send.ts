// One attempt of a delivery: signed, and sent through the guarded client.

import { batchAtEvent } from '@reelqueue/contract/wire/batch'
import { generationAtEvent } from '@reelqueue/contract/wire/generation'
import {
  batchSubject,
  endpointSubject,
  generationSubject,
  type WebhookSubject,
  webhookBody,
} from '@reelqueue/contract/wire/webhook-body'
import { headerPlace, secretPlace } from '@reelqueue/shared/domain/sealed-places'
import type { Database } from '@reelqueue/shared/store/database'
import type { ClaimedDelivery } from '@reelqueue/shared/store/deliveries/claimed-delivery'
import { isSameOrigin } from '@reelqueue/shared/store/deliveries/endpoint-headers'
import { readBatch } from '@reelqueue/shared/store/intake/batches'
import type { SendOutcome } from '@reelqueue/shared/webhooks/send-outcome'
import { signWebhook } from '@reelqueue/shared/webhooks/sign'
import type { StepDeps } from '../deps.ts'

export type Outcome = SendOutcome | (typeof NOT_BUILT & { readonly cause: unknown })

/** An attempt that sent nothing: a secret that cannot be opened, or a snapshot that cannot be parsed. */
export const NOT_BUILT = {
  kind: 'failed',
  httpStatus: null,
  errorClass: 'internal',
  message: 'The request could not be built: see the log of Reelqueue.',
  replySnippet: null,
  durationMs: 0,
  retryAfterMs: null,
  final: false,
} as const

export async function send({ database, sealer, webhooks }: StepDeps, delivery: ClaimedDelivery): Promise<SendOutcome> {
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
