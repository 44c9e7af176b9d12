// The log of webhooks for callers: one delivery for each event and URL, with every attempt.

import { z } from 'zod'

export const DELIVERY_STATES = ['pending', 'succeeded', 'failed'] as const

export const HOLDS = ['retry_scheduled', 'server_resting', 'server_busy', 'endpoint_disabled'] as const

const attemptJson = z
  .object({
    number: z.int(),
    at: z.iso.datetime().describe('The end of the attempt.'),
    duration_ms: z.int(),
    http_status: z.int().nullable().describe('Null: there was no answer.'),
    error_class: z
      .string()
      .nullable()
      .describe('Null: the attempt succeeded. Else for example `timeout`, `connect`, `http_status`.'),
    message: z.string(),
    reply: z.string().nullable().describe('The first 4 KB of the answer.'),
  })
  .meta({ id: 'WebhookAttempt' })

export const deliveryJson = z
  .object({
    id: z.string(),
    object: z.literal('webhook_delivery'),
    state: z.enum(DELIVERY_STATES),
    event_id: z.string().describe('The `webhook-id` of every attempt.'),
    event_type: z.string(),
    generation_id: z.string().nullable(),
    batch_id: z.string().nullable(),
    endpoint_id: z.string().nullable().describe('Null: the URL came with a request.'),
    url: z.string(),
    attempts: z.int(),
    next_attempt_at: z.iso.datetime().nullable(),
    held: z
      .object({
        reason: z.enum(HOLDS),
        until: z.iso.datetime().nullable().describe('Null: the end of the wait has no known time.'),
      })
      .nullable()
      .describe(
        'Why a pending delivery waits. `retry_scheduled`: for the next attempt after a failed one. `server_resting`: its server did not answer other deliveries of the project and rests; no attempt is used. `server_busy`: until another delivery of the project to its server ends. `endpoint_disabled`: its endpoint was disabled, and the delivery is about to fail.',
      ),
    last_attempt: attemptJson.nullable(),
    created_at: z.iso.datetime(),
    finished_at: z.iso.datetime().nullable(),
  })
  .meta({ id: 'WebhookDelivery' })
export type DeliveryJson = z.output<typeof deliveryJson>

export const deliveryWithLog = deliveryJson
  .extend({ log: z.array(attemptJson).describe('Every attempt, the last attempt first.') })
  .meta({ id: 'WebhookDeliveryWithLog' })

export const redeliverSince = z
  .strictObject({
    since: z.iso.datetime({ offset: true }).describe('Only deliveries created since this time.'),
  })
  .meta({ id: 'RedeliverSince', example: { since: '2026-01-01T00:00:00Z' } })

export interface AttemptRow {
  readonly number: number
  readonly createdAt: Date
  readonly durationMs: number
  readonly httpStatus: number | null
  readonly errorClass: string | null
  readonly message: string
  readonly replySnippet: string | null
}

export interface DeliveryRow {
  readonly id: string
  readonly state: (typeof DELIVERY_STATES)[number]
  readonly eventId: string
  readonly event: { readonly type: string; readonly generationId: string | null; readonly batchId: string | null }
  readonly endpointId: string | null
  readonly url: string
  readonly attempts: number
  /** The attempts before the last redelivery. */
  readonly attemptsBefore: number
  readonly nextAttemptAt: Date | null
  readonly createdAt: Date
  readonly finishedAt: Date | null
  /** The endpoint is disabled or deleted. */
  readonly isUnwanted: boolean
  /** The delivery is due, and other deliveries to its origin are under way. */
  readonly isBehindOthers: boolean
  /** The delivery is due, and its origin is in a cool-down until then. */
  readonly coolDownUntil: Date | null
  /** The last attempt first; all attempts, or only the last attempt. */
  readonly log: readonly AttemptRow[]
}

/** Null: the delivery has ended, is about to be attempted, or is being attempted. */
function holdOf(row: DeliveryRow): DeliveryJson['held'] {
  const { state, attempts, attemptsBefore, nextAttemptAt } = row
  if (state !== 'pending' || nextAttemptAt === null) return null
  if (row.isUnwanted) return { reason: 'endpoint_disabled', until: null }
  if (nextAttemptAt.getTime() <= Date.now()) {
    if (row.coolDownUntil) return { reason: 'server_resting', until: row.coolDownUntil.toISOString() }
    return row.isBehindOthers ? { reason: 'server_busy', until: null } : null
  }
  const until = nextAttemptAt.toISOString()
  // In this way, an earlier release delayed due deliveries to an origin in its cool-down.
  if (attempts === attemptsBefore) return { reason: 'server_resting', until }
  // An attempt under way is not in the log yet.
  return row.log[0]?.number === attempts ? { reason: 'retry_scheduled', until } : null
}

export function toDeliveryJson(row: DeliveryRow): DeliveryJson {
  const [last] = row.log
  return {
    id: row.id,
    object: 'webhook_delivery',
    state: row.state,
    event_id: row.eventId,
    event_type: row.event.type,
    generation_id: row.event.generationId,
    batch_id: row.event.batchId,
    endpoint_id: row.endpointId,
    url: row.url,
    attempts: row.attempts,
    next_attempt_at: row.nextAttemptAt?.toISOString() ?? null,
    held: holdOf(row),
    last_attempt: last ? toAttemptJson(last) : null,
    created_at: row.createdAt.toISOString(),
    finished_at: row.finishedAt?.toISOString() ?? null,
  }
}

export function toDeliveryWithLog(row: DeliveryRow): z.output<typeof deliveryWithLog> {
  return { ...toDeliveryJson(row), log: row.log.map(toAttemptJson) }
}

function toAttemptJson(row: AttemptRow): z.output<typeof attemptJson> {
  return {
    number: row.number,
    at: row.createdAt.toISOString(),
    duration_ms: row.durationMs,
    http_status: row.httpStatus,
    error_class: row.errorClass,
    message: row.message,
    reply: row.replySnippet,
  }
}
