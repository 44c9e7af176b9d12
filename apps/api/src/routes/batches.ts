// /v1/batches: list and read. batch-intake.ts accepts batches.

import { listBatches } from '@reelqueue/shared/store/intake/batches'
import { allWithCounts, mustFindBatch, withEstimate } from '../batches.ts'
import type { ApiDeps } from '../deps.ts'
import { cursorOf, pageOf } from '../page.ts'
import type { Serve } from '../typed-app.ts'

export function batchRoutes(serve: Serve<'key'>, deps: ApiDeps): void {
  const { database } = deps

  serve('listBatches', async (request) => {
    const { limit, cursor, parent_batch_id: parentId } = request.query
    const page = { before: cursorOf('batch', cursor), parentId }
    const rows = await listBatches(database, request.project.id, limit + 1, page)
    const { data, next_cursor } = pageOf(rows, limit, (row) => row)
    return { data: await allWithCounts(deps, data), next_cursor }
  })

  serve('getBatch', async ({ project, params }) =>
    withEstimate(deps, project, await mustFindBatch(deps, project, params.id)),
  )
}
