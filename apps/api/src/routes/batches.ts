// /v1/batches: list and read. batch-intake.ts accepts batches.

import { batchJson } from '@reelqueue/contract/wire/batch'
import { listBatches } from '@reelqueue/shared/store/batches'
import { z } from 'zod'
import { allWithCounts, mustFindBatch, withEstimate } from '../batches.ts'
import type { ApiDeps } from '../deps.ts'
import { byId } from '../generations.ts'
import { problems } from '../openapi.ts'
import { cursorOf, listOf, pageOf, pageQuery } from '../page.ts'
import type { App } from '../typed-app.ts'

export function batchRoutes(app: App, deps: ApiDeps): void {
  const { database } = deps

  app.get(
    '/v1/batches',
    {
      schema: {
        tags: ['Batches'],
        summary: 'List batches, newest first',
        querystring: pageQuery.extend({
          parent_batch_id: z.string().optional().describe('Only child batches of this batch.'),
        }),
        response: { 200: listOf(batchJson), ...problems('validation_failed') },
      },
    },
    async (request) => {
      const { limit, cursor, parent_batch_id: parentId } = request.query
      const page = { before: cursorOf('batch', cursor), parentId }
      const rows = await listBatches(database, request.project.id, limit + 1, page)
      const { data, next_cursor } = pageOf(rows, limit, (row) => row)
      return { data: await allWithCounts(deps, data), next_cursor }
    },
  )

  app.get(
    '/v1/batches/:id',
    {
      schema: {
        tags: ['Batches'],
        summary: 'Read a batch with its counts, and an estimate while it runs',
        params: byId,
        response: { 200: batchJson, ...problems('not_found') },
      },
    },
    async ({ project, params }) => withEstimate(deps, project, await mustFindBatch(deps, project, params.id)),
  )
}
