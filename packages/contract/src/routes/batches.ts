// Routes of /v1/batches.

import { z } from 'zod'
import { STATUSES } from '../terms/status.ts'
import {
  BATCH_ITEMS_MAX,
  batchCancel,
  batchChange,
  batchCheckJson,
  batchJson,
  batchQuery,
  batchRequest,
  resultJson,
} from '../wire/batch.ts'
import { listOf, pageQuery } from '../wire/list.ts'
import { byId, idempotencyHeaders } from '../wire/parameters.ts'
import { BODY_PROBLEMS, type Route } from './route.ts'

const LINES_TYPE = 'application/x-ndjson'

/** The names under which clients send JSON Lines. */
export const LINES_TYPES = [
  LINES_TYPE,
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonl',
  'application/jsonlines',
  'application/x-jsonlines',
] as const

export const batchRoutes = {
  createBatch: {
    method: 'POST',
    path: '/v1/batches',
    caller: 'key',
    tag: 'Batches',
    summary: 'Accept a batch: all of it or nothing',
    description: `As one JSON document (at most 40 MiB), or as JSON Lines (\`${LINES_TYPE}\`, at most 200 MiB): one generation request for each line, with \`defaults\`, \`webhook_url\` and \`metadata\` in the query. Both forms take 1 to ${BATCH_ITEMS_MAX.toLocaleString('en')} requests.`,
    headers: idempotencyHeaders,
    query: batchQuery,
    body: batchRequest,
    bodyTypes: ['application/json', ...LINES_TYPES],
    replies: { 200: batchCheckJson, 202: batchJson },
    locates: true,
    problems: [
      'malformed_json',
      'malformed_request',
      'idempotency_conflict',
      'backlog_full',
      'body_too_large',
      'batch_too_large',
      'unsupported_media_type',
      'validation_failed',
    ],
  },
  listBatches: {
    method: 'GET',
    path: '/v1/batches',
    caller: 'key',
    tag: 'Batches',
    summary: 'List batches, newest first',
    query: pageQuery.extend({
      parent_batch_id: z.string().optional().describe('Only child batches of this batch.'),
    }),
    replies: { 200: listOf(batchJson) },
    problems: ['validation_failed'],
  },
  getBatch: {
    method: 'GET',
    path: '/v1/batches/{id}',
    caller: 'key',
    tag: 'Batches',
    summary: 'Read a batch with its counts, and an estimate while it runs',
    params: byId,
    replies: { 200: batchJson },
    problems: ['not_found'],
  },
  listBatchResults: {
    method: 'GET',
    path: '/v1/batches/{id}/results',
    caller: 'key',
    tag: 'Batches',
    summary: 'The results of a batch as JSON Lines, in the order of its items; also while it runs',
    params: byId,
    query: z.strictObject({ status: z.enum(STATUSES).optional().describe('Only generations in this status.') }),
    replies: {
      200: { mediaType: LINES_TYPE, description: 'One JSON object for each generation.', schema: resultJson },
    },
    problems: ['not_found', 'validation_failed'],
  },
  cancelBatch: {
    method: 'POST',
    path: '/v1/batches/{id}/cancel',
    caller: 'key',
    tag: 'Batches',
    summary: 'Cancel a batch',
    description:
      'After the reply, no queued generation of the batch is submitted. A large batch is answered with 202 and status `cancelling`, and its queued generations become cancelled one after the other. Generations that are being submitted or rendered go on and are delivered, unless `rendering` is `cancel`; they may be charged either way.',
    params: byId,
    body: batchCancel,
    replies: { 200: batchJson, 202: batchJson },
    locates: true,
    problems: ['not_found', ...BODY_PROBLEMS],
  },
  retryBatch: {
    method: 'POST',
    path: '/v1/batches/{id}/retry',
    caller: 'key',
    tag: 'Batches',
    summary: 'Retry the failed generations as a child batch',
    description:
      'Creates a child batch of the failed generations, with new ids. Each generation is taken once: a generation that fails again is retried with the child batch. A retry may be paid for again. A generation that failed at its deadline and may still succeed is left out: retry that generation alone, which asks about its task first.',
    params: byId,
    headers: idempotencyHeaders,
    replies: { 202: batchJson },
    locates: true,
    problems: ['not_found', 'idempotency_conflict', 'backlog_full', 'nothing_to_retry'],
  },
  changeBatch: {
    method: 'PATCH',
    path: '/v1/batches/{id}',
    caller: 'key',
    tag: 'Batches',
    summary: 'Give the queued generations of a batch a new priority',
    description:
      'A large batch is answered with 202, and the change goes on by itself while the batch has `pending_priority`.',
    params: byId,
    body: batchChange,
    replies: { 200: batchJson, 202: batchJson },
    locates: true,
    problems: ['not_found', ...BODY_PROBLEMS],
  },
} as const satisfies Record<string, Route>
