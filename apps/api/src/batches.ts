// What several routes do with batches: find one, reply with its counts.

import { type BatchJson, toBatchJson } from '@reelqueue/shared/contract/batch'
import { Problem } from '@reelqueue/shared/domain/problem'
import { type Batch, countByStatus, findBatch } from '@reelqueue/shared/store/batches'
import type { Project } from '@reelqueue/shared/store/projects'
import type { ApiDeps } from './deps.ts'

/** @throws Problem `not_found`, also for another project's id */
export async function mustFindBatch({ database }: ApiDeps, project: Project, id: string): Promise<Batch> {
  const batch = await findBatch(database, project.id, id)
  if (!batch) throw new Problem('not_found')
  return batch
}

export async function withCounts(deps: ApiDeps, batch: Batch): Promise<BatchJson> {
  const [json] = await allWithCounts(deps, [batch])
  if (!json) throw new Error(`no counts for ${batch.id}`)
  return json
}

/** The batches as replies, in their order. */
export async function allWithCounts({ database }: ApiDeps, batches: readonly Batch[]): Promise<BatchJson[]> {
  const counts = await countByStatus(
    database,
    batches.map((batch) => batch.id),
  )
  return batches.map((batch) => {
    const byStatus = counts.get(batch.id)
    if (!byStatus) throw new Error(`no counts for ${batch.id}`)
    return toBatchJson(batch, byStatus)
  })
}
