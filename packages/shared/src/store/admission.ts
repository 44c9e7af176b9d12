// Admission: the backlog waits in Postgres, and only as many generations as there are slots go on to the queue.

import type { Database } from './database.ts'

/** Rows admitted by one call: bounds the transaction that holds the lock. */
const ADMIT_MAX = 1_000
/** Time for its submit job to begin; after that the next round of reconcile wakes an admitted row again. */
const WAKE_GRACE_MS = 2_000
/** Any number, the same in every process. */
const ADMISSION_LOCK = 7_301_001

/**
 * Admits queued generations while slots are free: round-robin over projects, then by priority, oldest first.
 * A slot is a condition on rows, so it survives any crash.
 * @param slots how many generations may be in flight upstream over all processes
 * @returns the ids admitted, to be woken after commit; `more` when the call reached its bound
 */
export async function admitGenerations({ prisma }: Database, slots: number): Promise<{ ids: string[]; more: boolean }> {
  return await prisma.$transaction(async (tx) => {
    // A statement of its own: inside the next one, the snapshot would predate the lock and two processes exceed the cap.
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(${ADMISSION_LOCK})`
    const admitted = await tx.$queryRaw<{ id: string }[]>`
      WITH free AS (
        SELECT least(${ADMIT_MAX}, greatest(0, ${slots}
          - (SELECT count(*) FROM generations WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing'))
          - (SELECT count(*) FROM generations WHERE slot_until > now() AND slot_until IS NOT NULL AND status IN ('failed', 'cancelled')))) AS n
      ), candidate AS (
        SELECT waiting.id, waiting.priority, row_number() OVER (PARTITION BY waiting.project_id ORDER BY waiting.priority DESC, waiting.id) AS turn
        FROM projects CROSS JOIN LATERAL (
          SELECT id, project_id, priority FROM generations
          WHERE project_id = projects.id AND status = 'queued' AND admitted_at IS NULL
          ORDER BY priority DESC, id LIMIT (SELECT n FROM free)
        ) waiting
      )
      UPDATE generations SET admitted_at = now(), due_at = now() + ${WAKE_GRACE_MS} * interval '1 ms'
      WHERE id = ANY (ARRAY(SELECT id FROM candidate ORDER BY turn, priority DESC, id LIMIT (SELECT n FROM free)))
        AND status = 'queued' AND admitted_at IS NULL
      RETURNING id`
    return { ids: admitted.map((row) => row.id), more: admitted.length === ADMIT_MAX }
  })
}
