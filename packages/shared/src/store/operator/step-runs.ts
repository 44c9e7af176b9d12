// When a worker last took a job of each step. A row that reconcile has just enqueued is not overdue, although no worker
// may take its job. Only the taking of jobs shows a working step.

import type { Database } from '../database.ts'
import { sql } from '../sql.ts'

/** The steps whose jobs are noted. Idle steps cost nothing, because the pollers, which always run, are not noted. */
export type NotedStep = 'submit' | 'deliver'

/** Notes that jobs of these steps are taken now. Processes share a row, and write the row at most every ten seconds. */
export async function noteStepRuns({ prisma }: Database, steps: readonly NotedStep[]): Promise<void> {
  await prisma.$executeRaw(sql.named('noteStepRuns')`
    INSERT INTO step_runs (step, ran_at)
    SELECT step, now()
    FROM unnest(${[...steps].sort()}::text[]) AS step
    ON CONFLICT (step) DO UPDATE
    SET ran_at = now()
    WHERE step_runs.ran_at < now() - interval '10 seconds'`)
}
