// What must not compile: each line below a directive is wrong, and a directive above a right line is an error.

import createClient from 'openapi-fetch'
import type { components, paths } from './generated/api.js'

const client = createClient<paths>({ baseUrl: 'http://127.0.0.1:1' })
type Schemas = components['schemas']

export async function wrongCalls(webhook: Schemas['WebhookEvent'], batch: Schemas['Batch']): Promise<unknown[]> {
  // @ts-expect-error no such route
  const unknownRoute = client.GET('/v1/batch')
  // @ts-expect-error no such method
  const unknownMethod = client.DELETE('/v1/batches/{id}', { params: { path: { id: batch.id } } })
  // @ts-expect-error a batch has items
  const noItems = client.POST('/v1/batches', { body: {} })
  // @ts-expect-error no such field
  const unknownField = client.POST('/v1/generations', { body: { model: 'openAiSora2Pro', prompt: 'A fox', fps: 30 } })
  // @ts-expect-error no such model
  const unknownModel = client.POST('/v1/generations', { body: { model: 'sora', prompt: 'A fox' } })
  // @ts-expect-error a length that no model has
  const wrongSeconds: Schemas['GenerationDefaults'] = { prompt: 'A fox', seconds: 5 }
  // @ts-expect-error a batch has no such status
  const wrongStatus = batch.status === 'failed'
  // @ts-expect-error only the events of batches have counts
  const wrongEvent = webhook.type === 'endpoint.test' ? webhook.data.counts : null
  return [unknownRoute, unknownMethod, noItems, unknownField, unknownModel, wrongSeconds, wrongStatus, wrongEvent]
}
