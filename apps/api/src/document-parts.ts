// The parts of the OpenAPI document that Fastify's schemas cannot say: headers of replies, lines of a batch, webhooks.

import { STATUS_CODES } from 'node:http'
import { ROUTES } from '@reelqueue/contract/routes'
import { LINES_TYPES } from '@reelqueue/contract/routes/batches'
import type { Route } from '@reelqueue/contract/routes/route'
import '@reelqueue/contract/wire/webhook-event'
import { tidySchemas } from './document-schemas.ts'

type Headers = Readonly<Record<string, object>>
interface Operation {
  operationId: keyof typeof ROUTES
  requestBody?: {
    required?: boolean
    content: Record<string, { schema: { $ref?: string; type?: string }; example?: unknown }>
  }
  responses: Record<string, { description: string; headers?: Headers }>
}
interface BatchExample {
  readonly defaults: object
  readonly items: readonly object[]
}
interface Document {
  paths: Record<string, Record<string, Operation>>
  components: {
    schemas: Record<string, { properties: Record<string, { items?: object }>; example?: object }>
  }
  webhooks?: object
}

const ref = (schema: string) => ({ $ref: `#/components/schemas/${schema}` })
const text = { type: 'string' }
const REQUEST_ID = { 'X-Request-Id': { description: 'The id of the request in the log.', schema: text } }
const LOCATION = { Location: { description: 'Where to read what was made.', schema: text } }
const RETRY_AFTER = { 'Retry-After': { description: 'Seconds to wait.', schema: { type: 'integer' } } }
const REPLAYED = {
  'Idempotency-Replayed': {
    description: '`true`: the reply to an earlier request with the same key.',
    schema: { type: 'string', enum: ['true'] },
  },
}

function headersOf(row: Route, status: string): Headers {
  return {
    ...REQUEST_ID,
    ...(row.locates && (status === '201' || status === '202') && LOCATION),
    ...(row.headers && status.startsWith('2') && REPLAYED),
    ...((status === '429' || status === '503') && RETRY_AFTER),
  }
}

/** What `@fastify/swagger` writes when a schema has no description. */
const NO_DESCRIPTION = 'Default Response'

/** Adds what Fastify's schemas cannot say, and names the schemas. */
export function completeDocument<T>(made: T): T {
  const document = made as unknown as Document
  for (const operation of Object.values(document.paths).flatMap((methods) => Object.values(methods))) {
    const row: Route = ROUTES[operation.operationId]
    if (operation.requestBody && row.body?.safeParse(undefined).success) operation.requestBody.required = false
    // The reference page and other tools show the example of a media type, not that of its schema. (`examples` of zod's metadata would be lost
    // for a schema that transforms.)
    for (const media of Object.values(operation.requestBody?.content ?? {})) {
      const name = media.schema.$ref?.split('/').at(-1) ?? ''
      media.example = document.components.schemas[name]?.example
    }
    for (const [status, response] of Object.entries(operation.responses)) {
      response.headers = headersOf(row, status)
      if (response.description === NO_DESCRIPTION) response.description = STATUS_CODES[status] ?? status
    }
  }
  const item = ref('GenerationDefaultsInput')
  const lines = document.paths[ROUTES.createBatch.path]?.post?.requestBody?.content ?? {}
  const { properties, example: batch } = document.components.schemas.BatchRequestInput ?? {}
  const example = linesOf(batch as BatchExample)
  for (const type of LINES_TYPES) {
    const schema = {
      ...text,
      contentMediaType: type,
      contentSchema: item,
      description: 'One JSON object in each line.',
    }
    lines[type] = { schema, example }
  }
  if (properties?.items) properties.items.items = item
  document.webhooks = { event: { post: WEBHOOK } }
  return tidySchemas(document) as T
}

/** A batch as JSON Lines. */
const linesOf = ({ defaults, items }: BatchExample) =>
  items.map((item) => `${JSON.stringify({ ...defaults, ...item })}\n`).join('')

const WEBHOOK = {
  operationId: 'receiveWebhook',
  tags: ['Webhooks'],
  summary: 'An event, sent to an endpoint or to the `webhook_url` of a request',
  description:
    'Signed as Standard Webhooks 1.0.0 say: verify `webhook-id`, `webhook-timestamp` and `webhook-signature` before the body is used.',
  security: [],
  parameters: Object.entries({
    'webhook-id': 'The id of the event: the same at every attempt.',
    'webhook-timestamp': 'The time of the attempt, in unix seconds.',
    'webhook-signature': 'One or more signatures, separated by spaces.',
  }).map(([name, description]) => ({ in: 'header', name, description, required: true, schema: text })),
  requestBody: { required: true, content: { 'application/json': { schema: ref('WebhookEvent') } } },
  responses: { '2XX': { description: 'Delivered. Anything else is tried again.' } },
}
