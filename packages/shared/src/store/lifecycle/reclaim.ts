// An adopted task may turn out to be the answer to a submission of another generation. The submission wins: it gets the
// task, and the generation that had adopted the task fails again.

import { decide } from '../../domain/lifecycle/decide.ts'
import type { Sql } from '../database.ts'
import { sql } from '../sql.ts'
import { carryOut } from './carry-out.ts'
import type { Moved } from './moves.ts'
import { lockSnapshot } from './snapshots.ts'

export interface TaskHolder {
  readonly submissionId: string
  readonly generationId: string
  /** The task was adopted by hand. */
  readonly isAdopted: boolean
}

/** The other submission that has the task; null: no other submission has the task. */
export async function findTaskHolder(tx: Sql, submissionId: string, taskId: string): Promise<TaskHolder | null> {
  const [holder] = await tx.$queryRaw<TaskHolder[]>(sql.named('findTaskHolder')`
    SELECT other.id AS "submissionId", other.generation_id AS "generationId",
      other.adopted_at IS NOT NULL AS "isAdopted"
    FROM submissions other
    JOIN submissions own ON own.id = ${submissionId}
    WHERE other.upstream = own.upstream
      AND other.upstream_task_id = ${taskId}
      AND other.id <> own.id`)
  return holder ?? null
}

/**
 * Takes an adopted task away; nothing when the holder has changed in the meantime: the unique key decides.
 * @param renderMaxMs the longest plausible render time: the render of the unknown submission may still be under way
 */
export async function reclaimTask(
  tx: Sql,
  { submissionId, generationId }: TaskHolder,
  taskId: string,
  renderMaxMs: number,
): Promise<Moved[]> {
  const snapshot = await lockSnapshot(tx, generationId)
  const plan = decide(snapshot, { kind: 'reclaimed', submissionId, taskId, renderMaxMs })
  return await carryOut(tx, [{ snapshot, plan }])
}
