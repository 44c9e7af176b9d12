// /v1/batches: many generations accepted together, all or nothing.

import { BATCH_ITEMS_MAX, batchJson, batchRequest, toBatchJson } from '@reelqueue/shared/contract/batch'
import { generationRequest, type NormalRequest, normalForm } from '@reelqueue/shared/contract/generation-request'
import { ERRORS_MAX, fieldErrors } from '@reelqueue/shared/contract/refusal'
import { newId } from '@reelqueue/shared/domain/ids'
import { type FieldError, Problem } from '@reelqueue/shared/domain/problem'
import {
  type Batch,
  countByStatus,
  findBatch,
  findBatchByIdempotencyKey,
  insertBatch,
  listBatches,
} from '@reelqueue/shared/store/batches'
import { z } from 'zod'
import type { ApiDeps } from '../deps.ts'
import { newGeneration } from '../generations.ts'
import { idempotencyHeaders, idempotencyOf, replay } from '../idempotency.ts'
import { problems } from '../openapi.ts'
import { cursorOf, listOf, pageOf, pageQuery } from '../page.ts'
import type { App } from '../typed-app.ts'

/** Room for a thousand prompts of 32,000 ASCII characters, with their fields. */
const BATCH_BYTES_MAX = 40 * 1024 * 1024

export function batchRoutes(app: App, deps: ApiDeps): void {
  const { database } = deps

  app.post(
    '/v1/batches',
    {
      bodyLimit: BATCH_BYTES_MAX,
      schema: {
        tags: ['Batches'],
        summary: 'Accept a batch: all of it or nothing',
        headers: idempotencyHeaders,
        body: batchRequest,
        response: {
          202: batchJson,
          ...problems(
            'malformed_json',
            'idempotency_conflict',
            'body_too_large',
            'batch_too_large',
            'unsupported_media_type',
            'validation_failed',
          ),
        },
      },
    },
    async (request, reply) => {
      const { defaults, items, webhook_url: webhookUrl = null, metadata = null } = request.body
      if (items.length > BATCH_ITEMS_MAX) {
        throw new Problem(
          'batch_too_large',
          `The batch has ${items.length} items; split it: at most ${BATCH_ITEMS_MAX} in one.`,
        )
      }
      const normals = readItems(defaults ?? {}, items).map((item) => ({
        ...item,
        webhookUrl: item.webhookUrl ?? webhookUrl,
      }))
      const idempotency = idempotencyOf(request.headers['idempotency-key'], '/v1/batches', {
        webhookUrl,
        metadata,
        normals,
      })
      const batch = { id: newId('batch'), projectId: request.project.id, webhookUrl, metadata, ...idempotency }
      const none = { idempotencyKey: null, idempotencyHash: null }
      const rows = normals.map((normal) => newGeneration(request.project, normal, none, batch.id))

      const inserted = await insertBatch(database, batch, rows)
      if (!inserted) {
        const winner = await findBatchByIdempotencyKey(database, request.project.id, idempotency.idempotencyKey ?? '')
        return reply.code(202).send(await withCounts(deps, replay(winner, idempotency, reply)))
      }
      deps.admit()
      const stored = await findBatch(database, request.project.id, batch.id)
      if (!stored) throw new Error(`the batch ${batch.id} is gone`)
      return reply.code(202).send(await withCounts(deps, stored))
    },
  )

  app.get(
    '/v1/batches',
    {
      schema: {
        tags: ['Batches'],
        summary: 'List batches, newest first',
        querystring: pageQuery,
        response: { 200: listOf(batchJson), ...problems('validation_failed') },
      },
    },
    async (request) => {
      const { limit, cursor } = request.query
      const rows = await listBatches(database, request.project.id, limit + 1, cursorOf('batch', cursor))
      const counts = await countByStatus(
        database,
        rows.map((row) => row.id),
      )
      return pageOf(rows, limit, (row) => toBatchJson(row, mustHave(counts, row.id)))
    },
  )

  app.get(
    '/v1/batches/:id',
    {
      schema: {
        tags: ['Batches'],
        summary: 'Read a batch with its counts',
        params: z.object({ id: z.string() }),
        response: { 200: batchJson, ...problems('not_found') },
      },
    },
    async (request) => {
      const batch = await findBatch(database, request.project.id, request.params.id)
      if (!batch) throw new Problem('not_found')
      return await withCounts(deps, batch)
    },
  )
}

async function withCounts({ database }: ApiDeps, batch: Batch) {
  return toBatchJson(batch, mustHave(await countByStatus(database, [batch.id]), batch.id))
}

function mustHave<T>(map: ReadonlyMap<string, T>, id: string): T {
  const value = map.get(id)
  if (value === undefined) throw new Error(`no counts for ${id}`)
  return value
}

/** Two names of one field: an item that uses either overrides both defaults. */
const ALIASES: Readonly<Record<string, string>> = {
  size: 'aspect_ratio',
  aspect_ratio: 'size',
  seconds: 'duration',
  duration: 'seconds',
  input_reference: 'image_urls',
  image_urls: 'input_reference',
}

/**
 * Completes each item by the defaults and checks it.
 * @throws Problem `validation_failed` with the first hundred errors of all items, and how many there are
 */
function readItems(defaults: Readonly<Record<string, unknown>>, items: readonly unknown[]): NormalRequest[] {
  const errors: FieldError[] = []
  const seen = new Set<string>()
  const normals = items.flatMap((item, index) => {
    const parsed = generationRequest.safeParse(completeBy(defaults, item))
    if (!parsed.success) {
      for (const error of fieldErrors(parsed.error.issues, ['items', index])) errors.push(error)
      return []
    }
    const normal = normalForm(parsed.data)
    if (normal.customId !== null && seen.has(normal.customId)) {
      errors.push({
        field: `items.${index}.custom_id`,
        rule: 'unique',
        allowed: 'a custom_id that no other item of the batch has',
        line: index + 1,
      })
    }
    if (normal.customId !== null) seen.add(normal.customId)
    return [normal]
  })
  if (errors.length > 0) throw new Problem('validation_failed', undefined, errors.slice(0, ERRORS_MAX), errors.length)
  return normals
}

function completeBy(defaults: Readonly<Record<string, unknown>>, item: unknown): unknown {
  if (typeof item !== 'object' || item === null || Array.isArray(item)) return item
  const own: Readonly<Record<string, unknown>> = { ...item }
  const fallback = Object.entries(defaults).filter(([field]) => own[ALIASES[field] ?? field] == null)
  return { ...Object.fromEntries(fallback), ...own }
}
