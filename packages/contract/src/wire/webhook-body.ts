// The body of a webhook, in the two forms that an endpoint chooses from. INVARIANT: one event has one body in each
// form, at any time: the body is built from the event's record and from fields that never change, and no setting can
// change the body.

import { utf8Bytes } from '../text/utf8-bytes.ts'
import type { BatchJson } from './batch.ts'
import type { EventRow } from './event.ts'
import type { GenerationJson } from './generation.ts'

export const WEBHOOK_PAYLOADS = ['full', 'thin'] as const
export type WebhookPayload = (typeof WEBHOOK_PAYLOADS)[number]

/** Bytes of UTF-8. Common servers read no more than 100 KiB unless configured otherwise. */
export const WEBHOOK_BODY_BYTES_MAX = 100_000

/** The subject of an event, as at the time of the event. */
export interface WebhookSubject {
  readonly full: unknown
  /** Only fields with a small bound: ids, status, times, and the address of the rest. */
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

/** For an endpoint, the event's own data are complete and small. */
export function endpointSubject(eventData: unknown): WebhookSubject {
  return { full: eventData, thin: eventData }
}

/**
 * The body of a Standard Webhook. A full body longer than `WEBHOOK_BODY_BYTES_MAX` is replaced by a thin body, with the
 * reason. `sequence` is the number of the event among the events of its subject.
 */
export function webhookBody(event: EventRow, { full, thin }: WebhookSubject, payload: WebhookPayload): string {
  const { id, type, sequence } = event
  const timestamp = event.createdAt.toISOString()
  if (payload === 'full') {
    const body = JSON.stringify({ type, timestamp, sequence, data: full })
    if (utf8Bytes(body) <= WEBHOOK_BODY_BYTES_MAX) return body
  }
  const payload_reason = payload === 'full' ? 'too_large' : 'requested'
  return JSON.stringify({ id, type, timestamp, sequence, payload: 'thin', payload_reason, data: thin })
}
