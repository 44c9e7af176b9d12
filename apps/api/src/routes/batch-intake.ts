// POST /v1/batches: many generations accepted together, all or nothing, as a JSON document or as JSON Lines.

import { Readable } from 'node:stream'
import { LINES_TYPES } from '@reelqueue/contract/routes/batches'
import { newId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { BATCH_ITEMS_MAX } from '@reelqueue/contract/wire/batch'
import type { NormalRequest } from '@reelqueue/contract/wire/generation-request'
import { createProfileCounter } from '@reelqueue/shared/domain/batch-estimate'
import { findBatch, findBatchByIdempotencyKey, insertBatch } from '@reelqueue/shared/store/intake/batches'
import type { NewGeneration } from '@reelqueue/shared/store/intake/generations'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { accepted, estimateAhead, withCounts } from '../batches.ts'
import type { ApiDeps } from '../deps.ts'
import { newGeneration } from '../generations.ts'
import { hashItems, type Idempotency, idempotencyOf, replay } from '../idempotency.ts'
import { type BatchUpload, receiveDocument, receiveLines } from '../intake/batch-body.ts'
import { type BatchFrame, readItems } from '../intake/batch-items.ts'
import { checkAll, checkedItems, WrongItem } from '../intake/checked-items.ts'
import { type RequestOf, routesFor } from '../typed-app.ts'

/** Limits of an INSERT: rows, and characters, because each text is in memory several times. */
const CHUNK_ROWS = 2_500
const CHUNK_CHARS = 1024 * 1024
/** A separate plugin: other routes do not accept JSON Lines. */
export async function batchIntake(fastify: FastifyInstance, deps: ApiDeps): Promise<void> {
  fastify.decorateRequest('batchUpload', null)
  fastify.removeContentTypeParser('application/json')
  fastify.addContentTypeParser('application/json', async (request: FastifyRequest, body: Readable) =>
    receiveDocument(request, body, deps.log),
  )
  // The body is received after the query was validated.
  fastify.addContentTypeParser([...LINES_TYPES], (_request, body, done) => done(null, body))
  // Every request passes this hook, with any outcome.
  fastify.addHook('onSend', async (request) => {
    await request.batchUpload?.close()
  })

  const serve = routesFor<'key'>(fastify)
  serve(
    'createBatch',
    async (request, reply) => {
      const body: unknown = request.body
      if (body instanceof Readable) await receiveLines(request, body, deps.log)
      const upload = request.batchUpload
      // The same refusal as for a missing body.
      if (upload === null) throw new Problem('malformed_json')
      const giveBack = await fastify.insertTurns.take(request.project.id)
      try {
        return upload.form === 'lines'
          ? await acceptLines(deps, request, reply, upload)
          : await acceptDocument(deps, request, reply, upload)
      } finally {
        giveBack()
      }
    },
    { isUpload: true },
  )
}

type Request = RequestOf<'createBatch'>

async function acceptDocument(deps: ApiDeps, request: Request, reply: FastifyReply, upload: BatchUpload) {
  refuseLinesQuery(request.query)
  if (upload.items > BATCH_ITEMS_MAX) throw new Problem('batch_too_large')
  const { defaults, webhook_url: webhookUrl = null, metadata = null } = request.body
  const batch = { defaults: defaults ?? {}, webhookUrl }
  const idempotencyKey = request.headers['idempotency-key'] ?? null
  // The idempotency hash covers the normal form of all items, so all items are read first.
  const idempotencyHash = idempotencyKey && (await hashOf(deps, upload, batch, metadata))
  const frame = { webhookUrl, metadata, idempotencyKey, idempotencyHash, items: upload.items }
  return await acceptUpload(deps, request, reply, upload, batch, frame)
}

async function hashOf(deps: ApiDeps, upload: BatchUpload, batch: BatchFrame, metadata: Frame['metadata']) {
  const hash = hashItems('/v1/batches', { metadata, webhookUrl: batch.webhookUrl })
  const reader = readItems(batch, deps.settings)
  for await (const items of upload.read()) for (const normal of checkAll(upload, items, reader)) hash.add(normal)
  reader.finish()
  return hash.end()
}

async function acceptLines(deps: ApiDeps, request: Request, reply: FastifyReply, upload: BatchUpload) {
  const { defaults = {}, webhook_url: webhookUrl = null, metadata = null } = request.query
  const asked = { webhookUrl, metadata, defaults, bytes: upload.hash }
  const idempotency = idempotencyOf(request.headers['idempotency-key'], '/v1/batches of lines', asked)
  const frame = { webhookUrl, metadata, ...idempotency, items: upload.items }
  return await acceptUpload(deps, request, reply, upload, { defaults, webhookUrl }, frame)
}

async function acceptUpload(
  deps: ApiDeps,
  request: Request,
  reply: FastifyReply,
  upload: BatchUpload,
  batch: BatchFrame,
  frame: Frame,
) {
  const reader = readItems(batch, deps.settings)
  const pieces = upload.read()
  try {
    return await accept(deps, request, reply, frame, checkedItems(upload, pieces, reader))
  } catch (error) {
    if (!(error instanceof WrongItem)) throw error
    // The transaction is rolled back; the rest is read only to report all errors.
    for (let next = await pieces.next(); !next.done; next = await pieces.next()) checkAll(upload, next.value, reader)
    return reader.finish()
  }
}

interface Frame extends Idempotency {
  readonly webhookUrl: string | null
  readonly metadata: Readonly<Record<string, unknown>> | null
  /** Number of items, or an upper bound. */
  readonly items: number
}

async function accept(
  deps: ApiDeps,
  request: Request,
  reply: FastifyReply,
  { items, ...frame }: Frame,
  checked: AsyncIterable<readonly NormalRequest[]>,
) {
  const { database } = deps
  const { project } = request
  if (request.query.dry_run) {
    const counter = createProfileCounter()
    for await (const normals of checked) for (const normal of normals) counter.add(normal)
    return reply.code(200).send(await estimateAhead(deps, project, counter.profiles()))
  }
  const replayed = async () => {
    const { idempotencyKey } = frame
    const winner = idempotencyKey && (await findBatchByIdempotencyKey(database, project.id, idempotencyKey))
    return winner ? await withCounts(deps, replay(winner, frame, reply)) : null
  }
  // A repeated upload is not checked again.
  const early = await replayed()
  if (early) return accepted(reply, early)
  const batch = { id: newId('batch'), projectId: project.id, parentId: null, ...frame }
  const toRow = (normal: NormalRequest) => newGeneration(project, normal, NO_KEY, batch.id)
  const insert = () => insertBatch(database, batch, inChunks(checked, toRow))
  if (!(await deps.backlog.takeMany(project.id, items, insert)))
    return accepted(reply, (await replayed()) ?? gone(batch.id))
  deps.afterCommit({ admissionDue: true })
  const stored = await findBatch(database, project.id, batch.id)
  return accepted(reply, await withCounts(deps, stored ?? gone(batch.id)))
}

const NO_KEY: Idempotency = { idempotencyKey: null, idempotencyHash: null }

function gone(id: string): never {
  throw new Error(`the batch ${id}, or the one that holds its key, is gone`)
}

/** Groups rows into INSERTs bounded by rows and memory. */
async function* inChunks(
  checked: AsyncIterable<readonly NormalRequest[]>,
  toRow: (normal: NormalRequest) => NewGeneration,
): AsyncGenerator<NewGeneration[]> {
  let rows: NewGeneration[] = []
  let chars = 0
  for await (const normals of checked) {
    for (const normal of normals) {
      rows.push(toRow(normal))
      chars += normal.prompt.length + (normal.metadata ? JSON.stringify(normal.metadata).length : 0)
      if (rows.length < CHUNK_ROWS && chars < CHUNK_CHARS) continue
      yield rows
      rows = []
      chars = 0
    }
  }
  if (rows.length > 0) yield rows
}

/** In a JSON document these fields belong to the body. */
function refuseLinesQuery({ dry_run: _, ...query }: Request['query']): void {
  const errors = Object.keys(query).map((field) => ({ field, rule: 'lines_only', allowed: 'a field of the body' }))
  if (errors.length > 0) throw new Problem('validation_failed', undefined, errors)
}
