// An adopted task may turn out to be the answer to a submission of another generation. The submission wins: it gets the
// task, and the generation that had adopted the task fails again.

import { FAILURES } from '@reelqueue/contract/terms/failure'
import type { Status } from '@reelqueue/contract/terms/status'
import type { Sql } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { askAboutOtherTask } from './former-tasks.ts'
import { type Moved, moveGenerations } from './moves.ts'

export interface TaskHolder {
  readonly submissionId: string
  readonly generationId: string
  /** The task was adopted by hand. */
  readonly isAdopted: boolean
}

/** The other submission that has the task; null: no other submission has the task. */
export async function findTaskHolder(tx: Sql, submissionId: string, taskId: string): Promise<TaskHolder | null> {
  const [holder] = await tx.$queryRaw<TaskHolder[]>`
    SELECT other.id AS "submissionId", other.generation_id AS "generationId", other.adopted_at IS NOT NULL AS "isAdopted"
    FROM submissions other JOIN submissions own ON own.id = ${submissionId}
    WHERE other.upstream = own.upstream AND other.upstream_task_id = ${taskId} AND other.id <> own.id`
  return holder ?? null
}

const RECLAIMED = 'adopted_task_reclaimed'

/**
 * Takes an adopted task away. The submission that had the task becomes unknown again; a ledger row added for the
 * adoption becomes rejected. A processing generation fails again, with an event. A completed or cancelled generation is
 * final and stays unchanged.
 * @param renderMaxMs the longest plausible render time: the render of the unknown submission may still be under way
 */
export async function reclaimTask(
  tx: Sql,
  { submissionId, generationId }: TaskHolder,
  taskId: string,
  renderMaxMs: number,
): Promise<Moved[]> {
  const [generation] = await tx.$queryRaw<{ status: Status }[]>`
    SELECT status::text FROM generations WHERE id = ${generationId} FOR UPDATE`
  const [left] = await tx.$queryRaw<{ isUnknown: boolean }[]>`
    UPDATE submissions SET state = (CASE WHEN started_at < adopted_at THEN 'unknown' ELSE 'rejected' END)::submission_state,
      upstream_task_id = NULL, adopted_at = NULL, render_failed_at = NULL, settled_at = now(),
      error_code = ${RECLAIMED}, error_message = ${`${FAILURES[RECLAIMED]} It was ${taskId}.`}
    WHERE id = ${submissionId} AND upstream_task_id = ${taskId} AND adopted_at IS NOT NULL
    RETURNING state = 'unknown' AS "isUnknown"`
  // The holder has changed in the meantime; the unique key decides.
  if (!generation || !left) return []
  const { code, message } = left.isUnknown
    ? { code: 'submission_unknown', message: `${FAILURES.submission_unknown} ${FAILURES[RECLAIMED]}` }
    : { code: RECLAIMED, message: FAILURES[RECLAIMED] }
  const failed = Prisma.sql`upstream_task_id = NULL, due_at = NULL, answer = NULL, error_code = ${code}, error_message = ${message},
    slot_until = greatest(g.slot_until, (SELECT started_at FROM submissions
      WHERE id = ${submissionId} AND state = 'unknown') + ${renderMaxMs} * interval '1 ms')`
  const guard = Prisma.sql`g.current_submission_id = ${submissionId}`
  if (generation.status === 'processing') {
    const moved = await moveGenerations(tx, [generationId], 'fail', { set: failed, guard })
    await askAboutOtherTask(tx, generationId)
    return moved
  }
  // The generation has failed already, by the task or by the deadline, and may still be polled for the task. There is
  // no second event.
  if (generation.status === 'failed')
    await tx.$executeRaw`UPDATE generations g SET ${failed} WHERE id = ${generationId} AND ${guard}`
  return []
}
