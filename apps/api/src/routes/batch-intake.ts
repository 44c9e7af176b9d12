// POST /v1/batches: many generations accepted together, all or nothing, as one JSON document or as JSON Lines.

import { Readable } from 'node:stream'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { BATCH_ITEMS_MAX, batchCheckJson, batchJson, batchQuery, batchRequest } from '@reelqueue/shared/contract/batch'
import type { NormalRequest } from '@reelqueue/shared/contract/generation-request'
import { createKindCounter } from '@reelqueue/shared/domain/batch-estimate'
import { newId } from '@reelqueue/shared/domain/ids'
import { type FieldError, Problem } from '@reelqueue/shared/domain/problem'
import { takeTurns } from '@reelqueue/shared/runtime/turns'
import { findBatch, findBatchByIdempotencyKey, insertBatch } from '@reelqueue/shared/store/batches'
import type { NewGeneration } from '@reelqueue/shared/store/generations'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { z } from 'zod'
import { accepted, estimateAhead, withCounts } from '../batches.ts'
import type { ApiDeps } from '../deps.ts'
import { newGeneration } from '../generations.ts'
import { type Idempotency, idempotencyHeaders, idempotencyOf, replay } from '../idempotency.ts'
import { type ItemReader, readItems } from '../intake/batch-items.ts'
import { type BrokenLine, LINE_BYTES_MAX, type Line, readJsonLines } from '../intake/json-lines.ts'
import { receiveUpload } from '../intake/upload.ts'
import { problems } from '../openapi.ts'
import { withZod } from '../typed-app.ts'

/** A JSON document is parsed whole, so it must fit the memory; JSON Lines need not. */
const DOCUMENT_BYTES_MAX = 40 * 1024 * 1024
const LINES_BYTES_MAX = 200 * 1024 * 1024
const LINES_TYPES = [
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonl',
  'application/jsonlines',
  'application/x-jsonlines',
]

/** Rows of one INSERT, and what their texts may add up to: each is in memory several times on its way. */
const CHUNK_ROWS = 2_500
const CHUNK_CHARS = 1024 * 1024
/** Blank ones included. */
const LINES_MAX = 1_000_000
/** Batches that one process inserts at the same time: each holds a connection. */
const INSERTS_MAX = 4
/** Items that are checked in one turn of the event loop. */
const TURN_ITEMS = 250

/** A plugin of its own: elsewhere JSON Lines are an unknown type. */
export async function batchIntake(fastify: FastifyInstance, deps: ApiDeps): Promise<void> {
  fastify.addContentTypeParser(LINES_TYPES, (_request, body, done) => done(null, body))

  withZod(fastify).post(
    '/v1/batches',
    {
      bodyLimit: DOCUMENT_BYTES_MAX,
      schema: {
        tags: ['Batches'],
        summary: 'Accept a batch: all of it or nothing',
        description: `As one JSON document (at most 40 MiB), or as JSON Lines (\`application/x-ndjson\`, at most 200 MiB): one generation request for each line, with \`defaults\`, \`webhook_url\` and \`metadata\` in the query. Either way 1 to ${BATCH_ITEMS_MAX.toLocaleString('en')} requests.`,
        consumes: ['application/json', ...LINES_TYPES],
        headers: idempotencyHeaders,
        querystring: batchQuery,
        body: batchRequest,
        response: {
          200: batchCheckJson,
          202: batchJson,
          ...problems(
            'malformed_json',
            'malformed_request',
            'idempotency_conflict',
            'backlog_full',
            'body_too_large',
            'batch_too_large',
            'unsupported_media_type',
            'validation_failed',
          ),
        },
      },
    },
    async (request, reply) => {
      const body: unknown = request.body
      return body instanceof Readable
        ? await acceptLines(deps, request, reply, body)
        : await acceptDocument(deps, request, reply, request.body)
    },
  )
}

type Request = FastifyRequest<{
  Headers: z.output<typeof idempotencyHeaders>
  Querystring: z.output<typeof batchQuery>
}>

async function acceptDocument(
  deps: ApiDeps,
  request: Request,
  reply: FastifyReply,
  { defaults, items, webhook_url: webhookUrl = null, metadata = null }: z.output<typeof batchRequest>,
) {
  refuseLinesQuery(request.query)
  if (items.length > BATCH_ITEMS_MAX) throw new Problem('batch_too_large')
  const reader = readItems({ defaults: defaults ?? {}, webhookUrl }, deps.settings)
  const normals: NormalRequest[] = []
  for (const [index, item] of items.entries()) {
    // Checking fifty thousand takes a second: others have their turns meanwhile.
    if (index % TURN_ITEMS === 0) await nextTurn()
    const normal = reader.read(item, { line: index + 1, path: ['items', index] })
    if (normal) normals.push(normal)
  }
  reader.finish()
  const asked = { webhookUrl, metadata, normals }
  const idempotency = idempotencyOf(request.headers['idempotency-key'], '/v1/batches', asked)
  const frame = { webhookUrl, metadata, idempotency, items: normals.length }
  return await accept(deps, request, reply, frame, [normals])
}

async function acceptLines(deps: ApiDeps, request: Request, reply: FastifyReply, body: Readable) {
  const { defaults = {}, webhook_url: webhookUrl = null, metadata = null } = request.query
  const upload = await receiveUpload(body, LINES_BYTES_MAX, deps.log)
  try {
    const asked = { webhookUrl, metadata, defaults, bytes: upload.hash }
    const idempotency = idempotencyOf(request.headers['idempotency-key'], '/v1/batches of lines', asked)
    const reader = readItems({ defaults, webhookUrl }, deps.settings)
    const pieces = readJsonLines(upload.read())
    try {
      const frame = { webhookUrl, metadata, idempotency, items: upload.lines }
      return await accept(deps, request, reply, frame, checkedLines(pieces, reader))
    } catch (error) {
      if (!(error instanceof WrongLine)) throw error
      // The transaction is undone; what else is wrong is told all the same.
      for (let next = await pieces.next(); !next.done; next = await pieces.next()) checkLines(next.value, reader)
      return reader.finish()
    }
  } finally {
    await upload.close()
  }
}

interface Frame {
  readonly webhookUrl: string | null
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly idempotency: Idempotency
  /** How many there are, at the most. */
  readonly items: number
}

async function accept(
  deps: ApiDeps,
  request: Request,
  reply: FastifyReply,
  { webhookUrl, metadata, idempotency, items }: Frame,
  checked: AsyncIterable<readonly NormalRequest[]> | Iterable<readonly NormalRequest[]>,
) {
  const { database } = deps
  const { project } = request
  if (request.query.dry_run) {
    const counter = createKindCounter()
    for await (const normals of checked) for (const normal of normals) counter.add(normal)
    return reply.code(200).send(await estimateAhead(deps, project, counter.kinds()))
  }
  const replayed = async () => {
    const { idempotencyKey } = idempotency
    const winner = idempotencyKey && (await findBatchByIdempotencyKey(database, project.id, idempotencyKey))
    return winner ? await withCounts(deps, replay(winner, idempotency, reply)) : null
  }
  // Sent again, an upload need not be checked again.
  const early = await replayed()
  if (early) return accepted(reply, early)
  const batch = { id: newId('batch'), projectId: project.id, parentId: null, webhookUrl, metadata, ...idempotency }
  const toRow = (normal: NormalRequest) => newGeneration(project, normal, NO_KEY, batch.id)
  const insert = () => inserting(() => insertBatch(database, batch, inChunks(checked, toRow)))
  if (!(await deps.backlog.takeMany(project.id, items, insert)))
    return accepted(reply, (await replayed()) ?? gone(batch.id))
  deps.admit()
  const stored = await findBatch(database, project.id, batch.id)
  return accepted(reply, await withCounts(deps, stored ?? gone(batch.id)))
}

const inserting = takeTurns(INSERTS_MAX)

const NO_KEY: Idempotency = { idempotencyKey: null, idempotencyHash: null }

function gone(id: string): never {
  throw new Error(`the batch ${id}, or the one that holds its key, is gone`)
}

/** Something is wrong with the upload: nothing more is worth inserting. */
class WrongLine extends Error {}

/** The requests of an upload, as they are checked. @throws WrongLine at the first wrong one */
async function* checkedLines(pieces: AsyncGenerator<Line[]>, reader: ItemReader): AsyncGenerator<NormalRequest[]> {
  for (let next = await pieces.next(); !next.done; next = await pieces.next()) {
    const normals = checkLines(next.value, reader)
    if (reader.hasErrors) throw new WrongLine()
    yield normals
  }
  // An upload of no lines has no wrong one.
  reader.finish()
}

function checkLines(lines: readonly Line[], reader: ItemReader): NormalRequest[] {
  return lines.flatMap((one) => {
    if (one.line > LINES_MAX)
      throw new Problem('batch_too_large', 'The body has more than a million lines, blank ones included.')
    return (
      ('value' in one
        ? reader.read(one.value, { line: one.line, path: [], faults: one.faults })
        : reader.refuse(refusalOf(one))) ?? []
    )
  })
}

const BROKEN_LINES = {
  json: { rule: 'json', allowed: 'one JSON object' },
  utf8: { rule: 'utf8', allowed: 'text in UTF-8' },
  max_bytes: { rule: 'max_bytes', allowed: LINE_BYTES_MAX },
} as const

function refusalOf({ line, broken }: BrokenLine): FieldError {
  return { field: 'body', ...BROKEN_LINES[broken], line }
}

/** Rows enough for one INSERT, and no more than fit the memory. */
async function* inChunks(
  checked: AsyncIterable<readonly NormalRequest[]> | Iterable<readonly NormalRequest[]>,
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

/** In a JSON document these stand in the body. */
function refuseLinesQuery({ dry_run: _, ...query }: Request['query']): void {
  const errors = Object.keys(query).map((field) => ({ field, rule: 'lines_only', allowed: 'a field of the body' }))
  if (errors.length > 0) throw new Problem('validation_failed', undefined, errors)
}
