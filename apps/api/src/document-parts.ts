// The parts of the OpenAPI document that Fastify's schemas cannot say: headers of replies, lines of a batch, webhooks.

import { ROUTES } from '@reelqueue/contract/routes'
import { LINES_TYPES } from '@reelqueue/contract/routes/batches'
import type { Route } from '@reelqueue/contract/routes/route'
import '@reelqueue/contract/wire/webhook-event'

type Headers = Readonly<Record<string, object>>
interface Operation {
  operationId: keyof typeof ROUTES
  requestBody?: { content: Record<string, { schema: object }> }
  responses: Record<string, { headers?: Headers }>
}
interface Document {
  paths: Record<string, Record<string, Operation>>
  components: { schemas: Record<string, { properties: Record<string, { items?: object }> }> }
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

/** Completes the document in place. */
export function completeDocument<T>(made: T): T {
  const document = made as unknown as Document
  for (const operation of Object.values(document.paths).flatMap((methods) => Object.values(methods))) {
    const row = ROUTES[operation.operationId]
    for (const [status, response] of Object.entries(operation.responses)) response.headers = headersOf(row, status)
  }
  const item = ref('GenerationDefaultsInput')
  const lines = document.paths[ROUTES.createBatch.path]?.post?.requestBody?.content ?? {}
  for (const type of LINES_TYPES) lines[type] = { schema: item }
  const { items } = document.components.schemas.BatchRequestInput?.properties ?? {}
  if (items) items.items = item
  document.webhooks = { event: { post: WEBHOOK } }
  return made
}

const WEBHOOK = {
  operationId: 'receiveWebhook',
  tags: ['Webhooks'],
  summary: 'An event, sent to an endpoint or to the `webhook_url` of a request',
  description:
    'Signed as Standard Webhooks 1.0.0 say: verify `webhook-id`, `webhook-timestamp` and `webhook-signature` before the body is used.',
  security: [],
  parameters: ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map((name) => ({
    in: 'header',
    name,
    required: true,
    schema: text,
  })),
  requestBody: { required: true, content: { 'application/json': { schema: ref('WebhookEvent') } } },
  responses: { '2XX': { description: 'Delivered. Anything else is tried again.' } },
}
