// Tasks of previous attempts: a retry has left the task behind, or the acceptance came late. The task has been paid
// for, so the provider is asked about the task before another payment, and again after the replacement has failed.

import type { Sql } from '../database.ts'
import { Prisma } from '../generated/client.ts'

/** An older task is not asked about, whatever its provider remembers: its link would end soon. */
const ASKED_ABOUT_MS = 24 * 3_600_000

/** The accepted submissions `s` of the generation `g` whose task may still give a video, the likeliest first. */
export const REMEMBERED_TASKS = Prisma.sql`s.generation_id = g.id AND s.state = 'accepted' AND s.render_failed_at IS NULL
  AND s.started_at > now() - ${ASKED_ABOUT_MS} * interval '1 ms' ORDER BY s.id = g.current_submission_id DESC, s.id DESC`

/**
 * The earliest possible start of the 24-hour life of a task's video, for a submission `s` of `g`; null: not before the
 * submission. A task that was adopted without a submission may be as old as the generation.
 */
export const NOT_BEFORE = Prisma.sql`CASE WHEN s.started_at = s.adopted_at THEN g.created_at END`

/** Notes that the provider has failed the task of a generation: the task is not polled again. */
export async function markRenderFailed(sql: Sql, generationId: string): Promise<void> {
  await sql.$executeRaw`
    UPDATE submissions s SET render_failed_at = now()
    FROM generations g WHERE g.id = ${generationId} AND s.generation_id = g.id AND s.upstream_task_id = g.upstream_task_id`
}

/**
 * Has another task of a failed generation polled, once the current submission can no longer give a video. A late
 * success of the other task still counts.
 */
export async function askAboutOtherTask(sql: Sql, generationId: string): Promise<void> {
  await sql.$executeRaw`
    UPDATE generations g
    SET current_submission_id = former.id, upstream_task_id = former.upstream_task_id, submitted_at = former.started_at,
      last_pending_at = former.not_before, poll_failures = 0, due_at = now()
    FROM (
      SELECT s.id, s.upstream_task_id, s.started_at, ${NOT_BEFORE} AS not_before FROM submissions s JOIN generations g ON g.id = s.generation_id
      WHERE g.id = ${generationId} AND ${REMEMBERED_TASKS} LIMIT 1) former
    WHERE g.id = ${generationId} AND g.status = 'failed' AND g.due_at IS NULL
      AND EXISTS (SELECT 1 FROM submissions s WHERE s.id = g.current_submission_id
        AND (s.state = 'rejected' OR s.render_failed_at IS NOT NULL))`
}
