// Actions on a batch: results, cancel, retry of failed generations, priority.

import { Readable } from 'node:stream'
import { LINES_TYPES } from '@reelqueue/contract/routes/batches'
import { newId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import type { Status } from '@reelqueue/contract/terms/status'
import { toResultJson } from '@reelqueue/contract/wire/batch'
import { countRetryable, listResults, retryBatch } from '@reelqueue/shared/store/intake/batch-actions'
import { findBatchByIdempotencyKey } from '@reelqueue/shared/store/intake/batches'
import { markCancelled, markPriority } from '@reelqueue/shared/store/lifecycle/batch-changes'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { accepted, mustFindBatch, withCounts } from '../batches.ts'
import type { ApiDeps } from '../deps.ts'
import { idempotencyOf, replay } from '../idempotency.ts'
import { readInTurn, waitOutside } from '../request-turns.ts'
import type { Serve } from '../typed-app.ts'

/** Generations of a page. */
const RESULTS_PAGE = 1_000
/** A longer change continues after the reply. */
const ANSWER_WITHIN_MS = 1_500

export function batchActionRoutes(serve: Serve<'key'>, deps: ApiDeps): void {
  const { database } = deps

  serve('listBatchResults', async (request, reply) => {
    const batch = await mustFindBatch(deps, request.project, request.params.id)
    const lines = Readable.from(resultLines(deps, request, batch, request.query.status))
    return reply.type(LINES_TYPES[0]).send(lines as never)
  })

  serve('cancelBatch', async (request, reply) => {
    const { id } = await mustFindBatch(deps, request.project, request.params.id)
    const isMarked = await markCancelled(database, id, request.body?.rendering === 'cancel')
    return await afterChange(request, id, isMarked, reply)
  })

  serve(
    'retryBatch',
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
    { isInsert: true },
  )

  serve('changeBatch', async (request, reply) => {
    const { id } = await mustFindBatch(deps, request.project, request.params.id)
    const isMarked = await markPriority(database, id, request.body.priority)
    return await afterChange(request, id, isMarked, reply)
  })

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
  batch: { readonly id: string; readonly projectId: string },
  status: Status | undefined,
): AsyncGenerator<string> {
  for (let after = ''; ; ) {
    const page = await readInTurn(request, () => listResults(database, batch, RESULTS_PAGE, after, status))
    const last = page.at(-1)
    if (!last) return
    after = last.id
    yield page.map((row) => `${JSON.stringify(toResultJson(row))}\n`).join('')
  }
}
