// A webhook endpoint as callers see an endpoint, and the requests about an endpoint.

import { z } from 'zod'
import { HEADERS_MAX, type HeaderChanges, nameFault, valueFault } from '../terms/custom-headers.ts'
import { ENDPOINT_EVENT_TYPES } from '../terms/event-types.ts'
import { webhookUrl } from './generation-request.ts'
import { WEBHOOK_PAYLOADS } from './webhook-body.ts'

const description = z.string().max(500).nullable().describe('For people.')
const eventTypes = z
  .array(z.enum(ENDPOINT_EVENT_TYPES))
  .max(ENDPOINT_EVENT_TYPES.length)
  .describe(
    'The events that the endpoint receives. None: every end of a generation or batch, and every endpoint that was disabled.',
  )

const payload = z
  .enum(WEBHOOK_PAYLOADS)
  .describe(
    '`full`: `data` is the whole generation or batch. `thin`: only its ids, status and times, and `href`, the path of the whole object. A body that would be longer than 100,000 bytes is always thin.',
  )

/** Refuses by header name: a value is a secret, and no refusal repeats a value. */
function checkHeaders(headers: Readonly<Record<string, string | null>>, context: z.RefinementCtx): void {
  const refuse = (name: string, rule: string, allowed: string) =>
    context.addIssue({ code: 'custom', path: [name], message: rule, params: { rule, allowed } })
  const seen = new Set<string>()
  for (const [name, value] of Object.entries(headers)) {
    const wrongName = nameFault(name)
    const wrongValue = value === null ? null : valueFault(value)
    if (wrongName !== null) refuse(name, 'header_name', wrongName)
    else if (seen.has(name.toLowerCase())) refuse(name, 'header_name', 'given once, whatever its case')
    if (wrongValue !== null) refuse(name, 'header_value', wrongValue)
    seen.add(name.toLowerCase())
  }
}

const toChanges = (headers: Readonly<Record<string, string | null>>): HeaderChanges =>
  new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]))

const ABOUT_HEADERS = `Sent with each webhook, such as \`Authorization\`: at most ${HEADERS_MAX}, values of 1 to 1,000 characters of Latin-1. Encrypted at rest and never shown again.`

const newHeaders = z
  .record(z.string(), z.string())
  .superRefine(checkHeaders)
  .superRefine((headers, context) => {
    if (Object.keys(headers).length > HEADERS_MAX)
      context.addIssue({ code: 'custom', message: 'max_keys', params: { rule: 'max_keys', allowed: HEADERS_MAX } })
  })
  .transform(toChanges)
  .describe(ABOUT_HEADERS)

const headerChanges = z
  .record(z.string(), z.string().nullable())
  .superRefine(checkHeaders)
  .transform(toChanges)
  .nullable()
  .describe(
    `${ABOUT_HEADERS} Headers that are not named stay; null removes one header, or all. A \`url\` of another origin requires \`headers\` again, or null.`,
  )

export const endpointRequest = z
  .strictObject({
    url: webhookUrl,
    event_types: eventTypes.nullish(),
    description: description.nullish(),
    payload: payload.nullish(),
    headers: newHeaders.nullish(),
  })
  .meta({
    id: 'WebhookEndpointRequest',
    example: { url: 'https://example.com/webhooks', event_types: ['generation.completed', 'generation.failed'] },
  })

export const endpointChange = z
  .strictObject({
    url: webhookUrl.optional(),
    event_types: eventTypes.optional(),
    description: description.optional(),
    payload: payload.optional().describe('For deliveries created from now on.'),
    headers: headerChanges.optional(),
    enabled: z.boolean().optional().describe('False: the endpoint gets no webhooks. True also resets `failing_since`.'),
  })
  .meta({ id: 'WebhookEndpointChange', example: { description: 'Renders of the shop', enabled: true } })

const DAY_S = 24 * 3_600

export const secretRotation = z
  .strictObject({
    overlap_seconds: z
      .int()
      .min(0)
      .max(7 * DAY_S)
      .default(DAY_S)
      .describe('The present secret also signs for this long, so that receivers can change over.'),
  })
  .nullish()
  .meta({ id: 'SecretRotation', example: { overlap_seconds: DAY_S } })

/** How long the previous secret still signs, in ms. */
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
    payload: z.enum(WEBHOOK_PAYLOADS),
    header_names: z
      .array(z.string())
      .describe('Names of its custom headers, in lower case; their values are never shown.'),
    enabled: z.boolean(),
    disabled_at: z.iso.datetime().nullable(),
    disabled_reason: z
      .enum(['by_request', 'gone', 'failing'])
      .nullable()
      .describe('`gone`: the endpoint answered 410. `failing`: every attempt failed for five days.'),
    failing_since: z.iso.datetime().nullable().describe('Since when every attempt has failed.'),
    previous_secret_until: z.iso.datetime().nullable().describe('Until this time a previous secret also signs.'),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'WebhookEndpoint' })
export type EndpointJson = z.output<typeof endpointJson>

export const endpointWithSecret = endpointJson
  .extend({ secret: z.string().describe('Verifies the webhooks of the endpoint; shown only in this reply.') })
  .meta({ id: 'WebhookEndpointWithSecret' })

export const endpointDeleted = z
  .object({ id: z.string(), object: z.literal('webhook_endpoint'), deleted: z.literal(true) })
  .meta({ id: 'WebhookEndpointDeleted' })

interface EndpointRow {
  readonly id: string
  readonly url: string
  readonly description: string | null
  readonly eventTypes: readonly string[]
  readonly payload: EndpointJson['payload']
  readonly headerNames: readonly string[]
  readonly disabledAt: Date | null
  readonly disabledReason: string | null
  readonly failingSince: Date | null
  /** The previous secrets that still sign, the latest first. */
  readonly signingStill: readonly { readonly until: Date }[]
  readonly createdAt: Date
}

export function toEndpointJson(row: EndpointRow): EndpointJson {
  return {
    id: row.id,
    object: 'webhook_endpoint',
    url: row.url,
    description: row.description,
    event_types: [...row.eventTypes],
    payload: row.payload,
    header_names: [...row.headerNames].sort(),
    enabled: row.disabledAt === null,
    disabled_at: row.disabledAt?.toISOString() ?? null,
    disabled_reason: row.disabledReason as EndpointJson['disabled_reason'],
    failing_since: row.failingSince?.toISOString() ?? null,
    previous_secret_until: lastOf(row.signingStill.map((one) => one.until))?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
  }
}

const lastOf = (dates: readonly Date[]): Date | undefined => dates.toSorted((one, other) => +other - +one)[0]
