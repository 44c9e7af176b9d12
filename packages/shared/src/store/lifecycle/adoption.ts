// A failed generation adopts an upstream task that was found by hand. The store checks the generation and the ledger.
// Before any change, the caller asks the provider whether the task exists and whether it still renders.

import { newId } from '@reelqueue/contract/terms/ids'
import type { Status } from '@reelqueue/contract/terms/status'
import { canHaveMadeTask } from '../../domain/lifecycle/asked.ts'
import { decide } from '../../domain/lifecycle/decide.ts'
import type { UpstreamModels } from '../../domain/upstream-models.ts'
import { ADMISSION_LOCK } from '../admission/admission.ts'
import type { SlotsPerModel } from '../admission/taken-slots.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from '../database.ts'
import { sql } from '../sql.ts'
import { carryOut } from './carry-out.ts'
import type { Moved } from './moves.ts'
import { lockSnapshot } from './snapshots.ts'

export interface Adoption {
  readonly taskId: string
  /** An operator may adopt for any failed generation. */
  readonly isOperator: boolean
  /** The provider's answer about the task; null: the provider has not been asked. */
  readonly task: 'rendering' | 'ended' | null
  readonly upstream: UpstreamModels
  /** The same slots as for admission: a task that still renders takes a slot. */
  readonly slots: number
  readonly slotsPerModel: SlotsPerModel
}

export type AdoptResult =
  | { readonly kind: 'adopted'; readonly moved: readonly Moved[] }
  /** A late success was stored on the row. The generation is completed and needs no other task. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** Nothing prevents the adoption, and nothing was changed. The caller must ask the provider about the task. */
  | { readonly kind: 'ask' }
  /** The task belongs to another generation. */
  | { readonly kind: 'taken' }
  /** The outcome of every submission of the generation is known, so no submission can have made the task. */
  | { readonly kind: 'nothing_unknown' }
  /** The task still renders, and no slot is free. */
  | { readonly kind: 'full' }
  /** Only a failed generation can adopt a task. */
  | { readonly kind: 'illegal'; readonly status: Status }

/**
 * Gives a failed generation an upstream task that was found by hand, with a poll due at once. The task settles a
 * submission with an unknown outcome. An operator may adopt without an unknown submission; the ledger then gets a row
 * marked as adopted. The deadline starts again. The 24 hours of the video count from the earliest moment at which the
 * task may have been created.
 */
export async function adoptTask(database: Database, id: string, adoption: Adoption): Promise<AdoptResult> {
  try {
    return await adopt(database, id, adoption)
  } catch (error) {
    // Another generation took the task at the same moment.
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
}

async function adopt({ prisma }: Database, id: string, adoption: Adoption): Promise<AdoptResult> {
  const { taskId, isOperator, task } = adoption
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const snapshot = await lockSnapshot(tx, id)
      const { status } = snapshot
      // A repeated request: the first answer was lost.
      if (snapshot.taskId === taskId && (status === 'processing' || status === 'completed'))
        return { kind: 'adopted', moved: [] }
      if (status !== 'failed') return { kind: 'illegal', status }
      const plan = decide(snapshot, { kind: 'adopt', taskId, newId: newId('submission') })
      if (plan.move !== 'adopt') return { kind: 'completed', moved: await carryOut(tx, [{ snapshot, plan }]) }
      const isOwn = snapshot.submissions.some((row) => row.taskId === taskId)
      if (!isOwn && (await isOfOther(tx, id, taskId))) return { kind: 'taken' }
      if (!isOwn && !isOperator && !canHaveMadeTask(snapshot)) return { kind: 'nothing_unknown' }
      if (task === null) return { kind: 'ask' }
      if (task === 'rendering' && (await isFull(tx, id, adoption))) return { kind: 'full' }
      return { kind: 'adopted', moved: await carryOut(tx, [{ snapshot, plan }]) }
    }),
  )
}

/** Whether a submission of another generation has the task. */
async function isOfOther(tx: Sql, id: string, taskId: string): Promise<boolean> {
  const rows = await tx.$queryRaw<unknown[]>(sql.named('isOfOther')`
    SELECT 1
    FROM submissions s
    JOIN generations g ON g.id = ${id}
    WHERE s.upstream = g.upstream AND s.upstream_task_id = ${taskId}`)
  return rows.length > 0
}

/**
 * Whether admission would find no slot for another generation of this project and model. Kept slots are not counted:
 * the generation itself may have had a kept slot.
 */
async function isFull(tx: Sql, id: string, { upstream, slots, slotsPerModel }: Adoption): Promise<boolean> {
  // A separate statement, as in admission: generations admitted at this moment are counted.
  await tx.$executeRaw(sql.named('lockAdmissionForAdoption')`SELECT pg_advisory_xact_lock(${ADMISSION_LOCK})`)
  const [generation] = await tx.$queryRaw<{ projectId: string; model: string }[]>(sql.named('readAdopted')`
    SELECT project_id AS "projectId", model
    FROM generations
    WHERE id = ${id}`)
  const { projectId = '', model = '' } = generation ?? {}
  const [row] = await tx.$queryRaw<{ isFull: boolean }[]>(sql.named('isFull')`
    SELECT count(*) FILTER (WHERE model = ANY (${upstream.models}::text[])) >= ${slots}::int
      OR count(*) FILTER (WHERE model = ${model}) >= ${slotsPerModel[model] ?? slots}::int
      OR coalesce(
        count(*) FILTER (WHERE project_id = ${projectId}) >= (
          SELECT max_in_flight
          FROM projects
          WHERE id = ${projectId}
        ),
        false
      ) AS "isFull"
    FROM generations
    WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')`)
  return row?.isFull ?? false
}
