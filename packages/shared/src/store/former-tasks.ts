// Renders that a generation has left behind, by a retry or because their acceptance came late. They have been paid for, so
// they are asked about before anything is paid again, and after what was paid instead has come to nothing.

import { LATE_ASKING_ENDS_MS } from '../domain/poll-plan.ts'
import type { Sql } from './database.ts'
import { Prisma } from './generated/client.ts'

/** The submissions `s` that left a task to the generation `g` of which a video may still come, the likeliest first. */
export const REMEMBERED_TASKS = Prisma.sql`s.generation_id = g.id AND s.state = 'accepted' AND s.render_failed_at IS NULL
  AND s.started_at > now() - ${LATE_ASKING_ENDS_MS} * interval '1 ms' ORDER BY s.id = g.current_submission_id DESC, s.id DESC`

/**
 * When the day of a task's video may have begun at the earliest, of a submission `s` of `g`: null says no earlier than the
 * submission. A task that was found by hand, and made by no submission that we know of, may be as old as the generation.
 */
export const NOT_BEFORE = Prisma.sql`CASE WHEN s.started_at = s.adopted_at THEN g.created_at END`

/** Notes that the provider has failed the task of a generation: it is not asked about again. */
export async function markRenderFailed(sql: Sql, generationId: string): Promise<void> {
  await sql.$executeRaw`
    UPDATE submissions s SET render_failed_at = now()
    FROM generations g WHERE g.id = ${generationId} AND s.generation_id = g.id AND s.upstream_task_id = g.upstream_task_id`
}

/**
 * A failed generation of whose last submission nothing can come any more is asked about another task that it was given:
 * a late success of that one still counts.
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
