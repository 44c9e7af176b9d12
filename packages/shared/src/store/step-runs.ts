// When a worker last took a job of each step. A row that reconcile has just looked at is not overdue, although nothing may become
// of it: that jobs are taken is what tells.

import type { Database } from './database.ts'

/** The steps whose jobs are noted: idle ones cost nothing, for lanes run all the time and are not among them. */
export type NotedStep = 'submit' | 'deliver'

/** Notes that jobs of these steps are taken now. Processes share a row, and write it at most every ten seconds. */
export async function noteStepRuns({ prisma }: Database, steps: readonly NotedStep[]): Promise<void> {
  await prisma.$executeRaw`
    INSERT INTO step_runs (step, ran_at) SELECT step, now() FROM unnest(${[...steps].sort()}::text[]) AS step
    ON CONFLICT (step) DO UPDATE SET ran_at = now() WHERE step_runs.ran_at < now() - interval '10 seconds'`
}
