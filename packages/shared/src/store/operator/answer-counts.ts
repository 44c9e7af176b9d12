// The number of the provider's answers of each kind, over all workers, since the installation began. One row for each
// kind.

import type { Database } from '../database.ts'
import { sql } from '../sql.ts'

export interface AnswerCount {
  readonly upstream: string
  readonly call: string
  readonly class: string
  readonly count: number
}

/** Adds counts in one statement, in the order of the key, so that two workers never wait for each other. */
export async function addAnswerCounts({ prisma }: Database, counts: readonly AnswerCount[]): Promise<void> {
  if (counts.length === 0) return
  await prisma.$executeRaw(sql.named('addAnswerCounts')`
    INSERT INTO upstream_answers (upstream, call, class, count)
    SELECT *
    FROM unnest(
      ${counts.map((one) => one.upstream)}::text[], ${counts.map((one) => one.call)}::text[],
      ${counts.map((one) => one.class)}::text[], ${counts.map((one) => one.count)}::int[]
    ) AS given (upstream, call, class, count)
    ORDER BY 1, 2, 3
    ON CONFLICT (upstream, call, class) DO UPDATE
    SET count = upstream_answers.count + excluded.count`)
}

export async function readAnswerCounts({ prisma }: Database): Promise<AnswerCount[]> {
  return await prisma.$queryRaw<AnswerCount[]>(sql.named('readAnswerCounts')`
    SELECT upstream, call, class, count::float8 AS count
    FROM upstream_answers
    ORDER BY 1, 2, 3`)
}
