// Reads what `decide` needs, under the row lock: the lock and the snapshots are two statements, because a statement that
// waits for a lock does not see what the holder of the lock has written to other tables.

import type { Snapshot } from '../../domain/lifecycle/snapshot.ts'
import type { Sql } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

/** Locks generations in the order of their ids, so that two callers cannot wait for each other. */
export async function lockGenerations(tx: Sql, ids: readonly string[], locked: 'wait' | 'skip'): Promise<string[]> {
  const skip = locked === 'skip' ? Prisma.sql`SKIP LOCKED` : Prisma.empty
  const rows = await tx.$queryRaw<{ id: string }[]>(sql.named('lockGenerations')`
    SELECT id
    FROM generations
    WHERE id = ANY (${ids}::text[])
    ORDER BY id
    FOR UPDATE ${skip}`)
  return rows.map((row) => row.id)
}

const ms = (column: string) => Prisma.raw(`(extract(epoch FROM ${column}) * 1000)::float8`)

/**
 * Reads the snapshots of locked generations, in one statement. The result is in the order of the ids; a generation that
 * does not exist is missing.
 * @param answered submissions with an outcome to decide about
 */
export async function readSnapshots(
  tx: Sql,
  ids: readonly string[],
  answered: readonly string[] = [],
): Promise<Snapshot[]> {
  return await tx.$queryRaw<Snapshot[]>(sql.named('readSnapshots')`
    SELECT g.id, g.status::text, g.attempt, g.on_unknown_submission::text AS policy,
      g.error_code AS "errorCode", g.may_be_charged AS "mayBeCharged",
      g.cancel_requested_at IS NOT NULL AS "cancelRequested",
      extract(epoch FROM now() - g.admitted_at)::float8 * 1000 AS "sinceAdmittedMs",
      g.due_at IS NOT NULL AS "isDue", g.upstream_task_id AS "taskId", g.answer,
      g.current_submission_id AS "currentSubmissionId", ${ms('now()')} AS "nowMs",
      -- clock_timestamp: the transaction may have waited for the lock.
      (
        SELECT ceil(
          extract(
            epoch FROM CASE s.state WHEN 'started' THEN s.lease_until ELSE s.retry_at END
            - clock_timestamp()
          )
          * 1000
        )::float8
        FROM submissions s
        WHERE s.id = g.current_submission_id
      ) AS "waitMs",
      coalesce(
        (
          SELECT jsonb_agg(
            jsonb_build_object(
              'id', s.id, 'attempt', s.attempt, 'state', s.state, 'taskId', s.upstream_task_id,
              'startedAtMs', ${ms('s.started_at')}, 'settledAtMs', ${ms('s.settled_at')},
              'adoptedAtMs', ${ms('s.adopted_at')},
              'hasRenderFailed', s.render_failed_at IS NOT NULL
            ) ORDER BY s.id
          )
          FROM submissions s
          WHERE s.generation_id = g.id
            AND (
              s.state <> 'rejected'
              OR s.id = g.current_submission_id
              OR s.id = ANY (${answered}::text[])
            )
        ),
        '[]'
      ) AS submissions
    FROM generations g
    WHERE g.id = ANY (${ids}::text[])
    ORDER BY g.id`)
}

/** Locks one generation and reads its snapshot; null when the generation does not exist. */
export async function findSnapshot(tx: Sql, id: string): Promise<Snapshot | null> {
  await lockGenerations(tx, [id], 'wait')
  const [snapshot] = await readSnapshots(tx, [id])
  return snapshot ?? null
}

/** Locks one generation and reads its snapshot. @throws Error when the generation does not exist */
export async function lockSnapshot(tx: Sql, id: string): Promise<Snapshot> {
  const snapshot = await findSnapshot(tx, id)
  if (!snapshot) throw new Error(`there is no generation ${id}`)
  return snapshot
}
