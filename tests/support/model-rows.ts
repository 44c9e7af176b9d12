// Rows of the in-memory model (domain/lifecycle/model.ts) in Postgres, for tests that compare the store with the model.

import type { ModelRow } from '@reelqueue/shared/domain/lifecycle/model'
import type { Outcome } from '@reelqueue/shared/domain/lifecycle/outcome'
import type { Sql } from '@reelqueue/shared/store/database'
import { readSnapshots } from '@reelqueue/shared/store/lifecycle/snapshots'

const UPSTREAM = 'globalai'

/** The row with ids of its own: every history of the model has the same ids. */
export function renamed(row: ModelRow, id: string): ModelRow {
  const own = nameOf(id)
  const submissions = row.submissions.map((one) => ({ ...one, id: own(one.id), taskId: own(one.taskId) }))
  const { taskId, currentSubmissionId } = row
  return { ...row, id, submissions, taskId: own(taskId), currentSubmissionId: own(currentSubmissionId) }
}

/** The outcome with the ids of the renamed row. */
export function outcomeOf(outcome: Outcome, id: string): Outcome {
  const own = nameOf(id)
  switch (outcome.kind) {
    case 'answered': {
      const { result, submissionId, newId } = outcome
      const named = result.kind === 'accepted' ? { ...result, taskId: own(result.taskId) } : result
      return { ...outcome, result: named, submissionId: own(submissionId), newId: own(newId) }
    }
    case 'adopt':
      return { ...outcome, taskId: own(outcome.taskId), newId: own(outcome.newId) }
    case 'found':
      return { ...outcome, taskId: own(outcome.taskId) }
    case 'reclaimed':
      return { ...outcome, taskId: own(outcome.taskId), submissionId: own(outcome.submissionId) }
    default:
      return outcome
  }
}

function nameOf(id: string) {
  function own(name: string): string
  function own(name: string | null): string | null
  function own(name: string | null): string | null {
    return name === null ? null : `${name}_${id}`
  }
  return own
}

/** Inserts the row; moments of the model become moments before and after now. */
export async function insertModelRow(sql: Sql, projectId: string, row: ModelRow): Promise<void> {
  const { id, status, attempt, policy, errorCode, mayBeCharged, taskId, currentSubmissionId, dispatchCount, videoUrl } =
    row
  const answer = row.answer ? JSON.stringify(row.answer) : null
  const isEnded = status === 'completed' || status === 'failed' || status === 'cancelled'
  const slotMs = row.slotUntilMs === null ? null : row.slotUntilMs - row.nowMs
  await sql.$executeRaw`
    INSERT INTO generations (id, project_id, model, prompt, status, attempt, on_unknown_submission, error_code,
      error_message, may_be_charged, cancel_requested_at, admitted_at, due_at, upstream, upstream_task_id, answer,
      current_submission_id, slot_until, wakes, finished_at, submitted_at, video_url, video_url_expires_at)
    VALUES (${id}, ${projectId}, 'openAiSora2Plus', 'a fox', ${status}::generation_status, ${attempt},
      ${policy}::unknown_submission_policy, ${errorCode}, ${errorCode}, ${mayBeCharged},
      CASE WHEN ${row.cancelRequested} THEN now() END, CASE WHEN ${row.sinceAdmittedMs !== null} THEN now() END,
      CASE WHEN ${row.isDue} THEN now() END, ${UPSTREAM}, ${taskId}, ${answer}::jsonb, ${currentSubmissionId},
      now() + ${slotMs}::float8 * interval '1 ms', ${dispatchCount}, CASE WHEN ${isEnded} THEN now() END, now(), ${videoUrl},
      CASE WHEN ${videoUrl !== null} THEN now() END)`
  for (const one of row.submissions) {
    const [startedMs, settledMs, adoptedMs] = [one.startedAtMs, one.settledAtMs, one.adoptedAtMs].map((ms) =>
      ms === null ? null : ms - row.nowMs,
    )
    await sql.$executeRaw`
      INSERT INTO submissions (id, generation_id, upstream, attempt, state, upstream_task_id, started_at, lease_until,
        settled_at, adopted_at, render_failed_at)
      VALUES (${one.id}, ${id}, ${UPSTREAM}, ${one.attempt}, ${one.state}::submission_state, ${one.taskId},
        now() + ${startedMs}::float8 * interval '1 ms', now(), now() + ${settledMs}::float8 * interval '1 ms',
        now() + ${adoptedMs}::float8 * interval '1 ms', CASE WHEN ${one.hasRenderFailed} THEN now() END)`
  }
}

/** The rows as the model would have them, by id. */
export async function readModelRows(sql: Sql, ids: readonly string[]): Promise<Map<string, ModelRow>> {
  const all = await sql.$queryRaw<{ ids: string[] }[]>`
    SELECT coalesce(array_agg(id), '{}') AS ids FROM submissions WHERE generation_id = ANY (${ids}::text[])`
  const snapshots = await readSnapshots(sql, ids, all[0]?.ids)
  const rows = await sql.$queryRaw<Pick<ModelRow, 'id' | 'slotUntilMs' | 'dispatchCount' | 'videoUrl'>[]>`
    SELECT id, (extract(epoch FROM slot_until) * 1000)::float8 AS "slotUntilMs", wakes AS "dispatchCount", video_url AS "videoUrl"
    FROM generations WHERE id = ANY (${ids}::text[])`
  return new Map(
    snapshots.flatMap((snapshot) => {
      const rest = rows.find(({ id }) => id === snapshot.id)
      return rest ? [[snapshot.id, { ...snapshot, ...rest }] as const] : []
    }),
  )
}

/**
 * The row in a form that compares: moments relative to now, in tenths of a second, because columns are rounded. The
 * moments that Postgres itself chooses become marks.
 */
export function comparable({ nowMs, waitMs: _, sinceAdmittedMs, slotUntilMs, submissions, ...row }: ModelRow): unknown {
  const since = (ms: number | null) => (ms === null ? null : Math.round((ms - nowMs) / 100) + 0)
  return {
    ...row,
    isAdmitted: sinceAdmittedMs !== null,
    slot: since(slotUntilMs),
    submissions: submissions.map(({ startedAtMs, settledAtMs, adoptedAtMs, ...one }) => {
      return { ...one, started: since(startedAtMs), isSettled: settledAtMs !== null, adopted: since(adoptedAtMs) }
    }),
  }
}
