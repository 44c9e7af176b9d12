// A webhook endpoint as callers see it, and what they may ask for.

import { z } from 'zod'
import { ENDPOINT_EVENT_TYPES } from '../domain/events.ts'
import { webhookUrl } from './generation-request.ts'

const description = z.string().max(500).nullable().describe('For people.')
const eventTypes = z
  .array(z.enum(ENDPOINT_EVENT_TYPES))
  .max(ENDPOINT_EVENT_TYPES.length)
  .describe('What it is told of; none: every ending of generations and batches, and of endpoints that were disabled.')

export const endpointRequest = z
  .strictObject({
    url: webhookUrl,
    event_types: eventTypes.nullish(),
    description: description.nullish(),
  })
  .meta({ id: 'WebhookEndpointRequest' })

export const endpointChange = z
  .strictObject({
    url: webhookUrl.optional(),
    event_types: eventTypes.optional(),
    description: description.optional(),
    enabled: z.boolean().optional().describe('False: nothing is sent to it. True also forgets that it was failing.'),
  })
  .meta({ id: 'WebhookEndpointChange' })

const DAY_S = 24 * 3_600

export const secretRotation = z
  .strictObject({
    overlap_seconds: z
      .int()
      .min(0)
      .max(7 * DAY_S)
      .default(DAY_S)
      .describe('For this long the present secret signs too, so that receivers can change over.'),
  })
  .nullish()
  .meta({ id: 'SecretRotation' })

/** How long the secret before signs on, in ms. */
export function overlapMs(rotation: z.output<typeof secretRotation>): number {
  return (rotation ?? { overlap_seconds: DAY_S }).overlap_seconds * 1_000
}

export const endpointJson = z
  .object({
    id: z.string(),
    object: z.literal('webhook_endpoint'),
    url: z.string(),
    description: z.string().nullable(),
    event_types: z.array(z.string()),
    enabled: z.boolean(),
    disabled_at: z.iso.datetime().nullable(),
    disabled_reason: z
      .enum(['by_request', 'gone', 'failing'])
      .nullable()
      .describe('`gone`: it answered 410. `failing`: it did nothing but fail for five days.'),
    failing_since: z.iso.datetime().nullable().describe('Since when every attempt has failed.'),
    previous_secret_until: z.iso
      .datetime()
      .nullable()
      .describe('Until then a secret before the present one signs too.'),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'WebhookEndpoint' })
export type EndpointJson = z.output<typeof endpointJson>

export const endpointWithSecret = endpointJson
  .extend({ secret: z.string().describe('Verifies its webhooks; shown this once.') })
  .meta({ id: 'WebhookEndpointWithSecret' })

export const endpointDeleted = z
  .object({ id: z.string(), object: z.literal('webhook_endpoint'), deleted: z.literal(true) })
  .meta({ id: 'WebhookEndpointDeleted' })

interface EndpointFacts {
  readonly id: string
  readonly url: string
  readonly description: string | null
  readonly eventTypes: readonly string[]
  readonly disabledAt: Date | null
  readonly disabledReason: string | null
  readonly failingSince: Date | null
  /** Those that sign still, the latest first. */
  readonly signingStill: readonly { readonly until: Date }[]
  readonly createdAt: Date
}

export function toEndpointJson(row: EndpointFacts): EndpointJson {
  return {
    id: row.id,
    object: 'webhook_endpoint',
    url: row.url,
    description: row.description,
    event_types: [...row.eventTypes],
    enabled: row.disabledAt === null,
    disabled_at: row.disabledAt?.toISOString() ?? null,
    disabled_reason: row.disabledReason as EndpointJson['disabled_reason'],
    failing_since: row.failingSince?.toISOString() ?? null,
    previous_secret_until: lastOf(row.signingStill.map((one) => one.until))?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
  }
}

const lastOf = (dates: readonly Date[]): Date | undefined => dates.toSorted((one, other) => +other - +one)[0]
