// The life of a task's video, for the tasks of previous attempts (domain/lifecycle/tasks.ts decides about these tasks).

import { Prisma } from '../generated/client.ts'

/**
 * The earliest possible start of the 24-hour life of a task's video, for a submission `s` of `g`; null: not before the
 * submission. A task that was adopted without a submission may be as old as the generation.
 */
export const NOT_BEFORE = Prisma.sql`CASE WHEN s.started_at = s.adopted_at THEN g.created_at END`
