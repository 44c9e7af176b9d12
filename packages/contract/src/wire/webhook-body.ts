// The body of a webhook, in the two forms that an endpoint chooses from. INVARIANT: one event has one body in each form, whenever it
// is made: it is built from what the event recorded and from fields that never change, and says nothing that a setting could change.

import { utf8Bytes } from '../text/utf8-bytes.ts'
import type { BatchJson } from './batch.ts'
import type { EventFacts } from './event.ts'
import type { GenerationJson } from './generation.ts'

export const WEBHOOK_PAYLOADS = ['full', 'thin'] as const
export type WebhookPayload = (typeof WEBHOOK_PAYLOADS)[number]

/** Bytes of UTF-8. Common servers read no more than 100 KiB unless they are told to. */
export const WEBHOOK_BODY_BYTES_MAX = 100_000

/** What an event is about, as it was then. */
export interface WebhookSubject {
  readonly full: unknown
  /** Only what has a small bound: ids, status, times and where to read the rest. */
  readonly thin: unknown
}

export function generationSubject(full: GenerationJson): WebhookSubject {
  const { id, object, status, batch_id, custom_id, attempt, created_at, finished_at } = full
  const href = `/v1/generations/${id}`
  return { full, thin: { id, object, status, batch_id, custom_id, attempt, created_at, finished_at, href } }
}

export function batchSubject(full: BatchJson): WebhookSubject {
  const { id, object, status, parent_batch_id, total, counts, created_at, completed_at } = full
  const href = `/v1/batches/${id}`
  return { full, thin: { id, object, status, parent_batch_id, total, counts, created_at, completed_at, href } }
}

/** Of an endpoint the event itself says all, and that is little. */
export function endpointSubject(eventData: unknown): WebhookSubject {
  return { full: eventData, thin: eventData }
}

/**
 * The body of a Standard Webhook. One that was to be full and would be longer than `WEBHOOK_BODY_BYTES_MAX` is thin, and says why.
 * `sequence` is the number of the event among those of its subject.
 */
export function webhookBody(event: EventFacts, { full, thin }: WebhookSubject, payload: WebhookPayload): string {
  const { id, type, sequence } = event
  const timestamp = event.createdAt.toISOString()
  if (payload === 'full') {
    const body = JSON.stringify({ type, timestamp, sequence, data: full })
    if (utf8Bytes(body) <= WEBHOOK_BODY_BYTES_MAX) return body
  }
  const payload_reason = payload === 'full' ? 'too_large' : 'requested'
  return JSON.stringify({ id, type, timestamp, sequence, payload: 'thin', payload_reason, data: thin })
}
