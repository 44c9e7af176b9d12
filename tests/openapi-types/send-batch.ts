// A client as an integrator would write one: types from /openapi.json, `openapi-fetch`, and nothing of this repository. Sends a batch, reads
// the batch and its generations, and prints what it was told.

import createClient from 'openapi-fetch'
import type { components, paths } from './generated/api.js'

const [, , baseUrl = '', key = ''] = process.argv
const client = createClient<paths>({ baseUrl, headers: { authorization: `Bearer ${key}` } })

/** An answer with a problem ends the program with the problem's code. */
function refused(problem: components['schemas']['Problem']): never {
  console.error(problem.code, problem.errors)
  process.exit(1)
}

const items: components['schemas']['GenerationDefaults'][] = [
  { prompt: 'A fox in the snow', custom_id: 'fox' },
  { prompt: 'An owl at night', custom_id: 'owl', seconds: 12 },
]
const sent = await client.POST('/v1/batches', {
  params: { header: { 'idempotency-key': 'a-batch-by-types' } },
  body: { defaults: { model: 'openAiSora2Plus', seconds: 4 }, items, metadata: { shop: 7 } },
})
if (sent.error) refused(sent.error)
// With `dry_run` the reply is a check: the two are told apart by `object`.
if (sent.data.object !== 'batch') throw new Error('the API only checked the batch')

const read = await client.GET('/v1/batches/{id}', { params: { path: { id: sent.data.id } } })
if (read.error) refused(read.error)
const list = await client.GET('/v1/generations', { params: { query: { batch_id: read.data.id, limit: 10 } } })
if (list.error) refused(list.error)

const generations = list.data.data.map(({ id, custom_id, status, seconds }) => ({ id, custom_id, status, seconds }))
const { id, total, counts, metadata } = read.data
console.log(JSON.stringify({ id, total, queued: counts.queued, metadata, generations }))
