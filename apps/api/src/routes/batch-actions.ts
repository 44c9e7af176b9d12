// Actions on a batch: results, cancel, retry of failed generations, priority.

import { Readable } from 'node:stream'
import { newId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { STATUSES, type Status } from '@reelqueue/contract/terms/status'
import { batchCancel, batchChange, batchJson, resultJson, toResultJson } from '@reelqueue/contract/wire/batch'
import { countRetryable, listResults, retryBatch } from '@reelqueue/shared/store/batch-actions'
import { markCancelled, markPriority } from '@reelqueue/shared/store/batch-changes'
import { findBatchByIdempotencyKey } from '@reelqueue/shared/store/batches'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { accepted, mustFindBatch, withCounts } from '../batches.ts'
import type { ApiDeps } from '../deps.ts'
import { byId } from '../generations.ts'
import { idempotencyHeaders, idempotencyOf, replay } from '../idempotency.ts'
import { problems } from '../openapi.ts'
import { readInTurn, waitOutside } from '../request-turns.ts'
import type { App } from '../typed-app.ts'

const LINES_TYPE = 'application/x-ndjson'
/** Generations of a page. */
const RESULTS_PAGE = 1_000
/** A longer change continues after the reply. */
const ANSWER_WITHIN_MS = 1_500

export function batchActionRoutes(app: App, deps: ApiDeps): void {
  const { database } = deps

  app.get(
    '/v1/batches/:id/results',
    {
      schema: {
        tags: ['Batches'],
        summary: 'The results of a batch as JSON Lines, in the order of its items; also while it runs',
        params: byId,
        querystring: z.strictObject({
          status: z.enum(STATUSES).optional().describe('Only generations in this status.'),
        }),
        response: {
          200: {
            description: 'One JSON object for each generation.',
            content: { [LINES_TYPE]: { schema: resultJson } },
          },
          ...problems('not_found', 'validation_failed'),
        },
      },
    },
    async (request, reply) => {
      const { id } = await mustFindBatch(deps, request.project, request.params.id)
      const lines = Readable.from(resultLines(deps, request, id, request.query.status))
      return reply.type(LINES_TYPE).send(lines as never)
    },
  )

  app.post(
    '/v1/batches/:id/cancel',
    {
      schema: {
        tags: ['Batches'],
        summary: 'Cancel a batch',
        description:
          'After the reply, no queued generation of the batch is submitted. A large batch is answered with 202 and status `cancelling`, and its queued generations become cancelled one after the other. Generations that are being submitted or rendered go on and are delivered, unless `rendering` is `cancel`; they may be charged either way.',
        params: byId,
        body: batchCancel,
        response: {
          200: batchJson,
          202: batchJson,
          ...problems('not_found', 'malformed_json', 'unsupported_media_type', 'validation_failed'),
        },
      },
    },
    async (request, reply) => {
      const { id } = await mustFindBatch(deps, request.project, request.params.id)
      const isMarked = await markCancelled(database, id, request.body?.rendering === 'cancel')
      return await afterChange(request, id, isMarked, reply)
    },
  )

  app.post(
    '/v1/batches/:id/retry',
    {
      config: { isInsert: true },
      schema: {
        tags: ['Batches'],
        summary: 'Retry the failed generations as a child batch',
        description:
          'Creates a child batch of the failed generations, with new ids. Each generation is taken once: a generation that fails again is retried with the child batch. A retry may be paid for again. A generation that failed at its deadline and may still succeed is left out: retry that generation alone, which asks about its task first.',
        params: byId,
        headers: idempotencyHeaders,
        response: {
          202: batchJson,
          ...problems('not_found', 'idempotency_conflict', 'backlog_full', 'nothing_to_retry'),
        },
      },
    },
    async (request, reply) => {
      const parent = await mustFindBatch(deps, request.project, request.params.id)
      const { id: projectId } = request.project
      const idempotency = idempotencyOf(request.headers['idempotency-key'], '/v1/batches/retry', parent.id)
      const child = {
        id: newId('batch'),
        projectId,
        parentId: parent.id,
        webhookUrl: parent.webhookUrl,
        metadata: parent.metadata as Record<string, unknown> | null,
        ...idempotency,
      }
      const replayed = async () => {
        const { idempotencyKey } = idempotency
        const first = idempotencyKey && (await findBatchByIdempotencyKey(database, projectId, idempotencyKey))
        return first ? accepted(reply, await withCounts(deps, replay(first, idempotency, reply))) : null
      }
      // A replayed batch needs no room in the backlog.
      const early = await replayed()
      if (early) return early
      const count = await countRetryable(database, parent.id)
      const retry = () => retryBatch(database, parent.id, child)
      const result = count === 0 ? 'nothing_failed' : await deps.backlog.takeMany(projectId, count, retry)
      if (result !== 'retried') {
        const first = await replayed()
        if (first) return first
        if (result === 'nothing_failed') throw new Problem('nothing_to_retry')
        throw new Error(`the batch that holds the key of ${child.id} is gone`)
      }
      deps.afterCommit({ admissionDue: true })
      return accepted(reply, await withCounts(deps, await mustFindBatch(deps, request.project, child.id)))
    },
  )

  app.patch(
    '/v1/batches/:id',
    {
      schema: {
        tags: ['Batches'],
        summary: 'Give the queued generations of a batch a new priority',
        description:
          'A large batch is answered with 202, and the change goes on by itself while the batch has `pending_priority`.',
        params: byId,
        body: batchChange,
        response: {
          200: batchJson,
          202: batchJson,
          ...problems('not_found', 'malformed_json', 'unsupported_media_type', 'validation_failed'),
        },
      },
    },
    async (request, reply) => {
      const { id } = await mustFindBatch(deps, request.project, request.params.id)
      const isMarked = await markPriority(database, id, request.body.priority)
      return await afterChange(request, id, isMarked, reply)
    },
  )

  /** The batch after the marked change, or its present state when the change takes longer. */
  async function afterChange(request: FastifyRequest, id: string, isMarked: boolean, reply: FastifyReply) {
    let isDone = !isMarked
    const change = async () => {
      isDone = await deps.changer.change(id, ANSWER_WITHIN_MS)
    }
    if (isMarked) await waitOutside(request, change)
    const batch = await withCounts(deps, await mustFindBatch(deps, request.project, id))
    return isDone ? batch : accepted(reply, batch)
  }
}

async function* resultLines(
  { database }: ApiDeps,
  request: FastifyRequest,
  batchId: string,
  status: Status | undefined,
): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await readInTurn(request, () => listResults(database, batchId, RESULTS_PAGE, after, status))
    const last = page.at(-1)
    if (!last) return
    after = last.id
    yield page.map((row) => `${JSON.stringify(toResultJson(row))}\n`).join('')
  }
}
