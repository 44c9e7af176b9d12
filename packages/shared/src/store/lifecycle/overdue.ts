// The rows that reconcile looks for: their queue job was lost. Claims are bounded pages, safe with several workers.

import type { Status } from '@reelqueue/contract/terms/status'
import { dueStep } from '../../domain/due-step.ts'
import type { RowToEnqueue } from '../../domain/row-to-enqueue.ts'
import type { Database } from '../database.ts'
import { isCoolingDown } from '../deliveries/cool-downs.ts'
import { ENQUEUED_PER_ORIGIN } from '../deliveries/fan-out.ts'
import { Prisma } from '../generated/client.ts'
import { ALL_ENDED } from '../intake/batches.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'

const BACK_OFF_MAX_S = 120
/**
 * Redelivery back-off: how long a row is left alone after it was enqueued. The back-off doubles from 15 s up to two
 * minutes.
 */
const BACK_OFF = Prisma.raw(`least(15 * 2 ^ least(wakes, 3), ${BACK_OFF_MAX_S}) * interval '1 second'`)
const IN_BACK_OFF = Prisma.raw(`due_at > now() AND due_at <= now() + interval '${BACK_OFF_MAX_S} seconds'`)

export interface OverdueGenerations {
  readonly submit: readonly RowToEnqueue[]
  readonly complete: readonly RowToEnqueue[]
}

/** The conditions for a row to need each step: `dueStep` in SQL. */
const NEEDS_STEP = {
  submit: Prisma.raw(`status IN ('queued', 'submitting') AND answer IS NULL`),
  complete: Prisma.raw('answer IS NOT NULL'),
}

/**
 * Claims up to `limit` overdue generations that the pollers do not serve, by the step to enqueue.
 * @param steps the steps that may get more jobs
 */
export async function claimOverdueGenerations(
  database: Database,
  limit: number,
  steps: readonly (keyof OverdueGenerations)[],
): Promise<OverdueGenerations> {
  if (steps.length === 0) return { submit: [], complete: [] }
  // Added to the condition of the partial index, because the planner needs that condition word for word.
  const needsStep = Prisma.join(
    steps.map((step) => NEEDS_STEP[step]),
    ' OR ',
  )
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE due_at <= now()
      AND due_at IS NOT NULL
      AND (status IN ('queued', 'submitting') OR answer IS NOT NULL)
      AND (${needsStep})
      AND ${isStorable('generations.id')} ${among}
    ORDER BY due_at
    LIMIT ${limit}
    FOR UPDATE SKIP LOCKED`
  const rows = await claimStorable(database, 'enqueue', pick, (picked) =>
    database.prisma.$queryRaw<(RowToEnqueue & { status: Status; hasAnswer: boolean })[]>(sql.named(
      'claimOverdueGenerations',
    )`
      UPDATE generations
      SET wakes = wakes + 1, due_at = now() + ${BACK_OFF}
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING id, wakes AS "dispatchCount", status::text, answer IS NOT NULL AS "hasAnswer"`),
  )
  return {
    submit: rows.filter((row) => dueStep(row) === 'submit'),
    complete: rows.filter((row) => dueStep(row) === 'complete'),
  }
}

/**
 * Claims up to `limit` deliveries with a due attempt. Few for each origin: fifty thousand deliveries to a dead origin
 * delay no other origin. And the origins of the projects in turn: a project with thousands of origins delays no other
 * project.
 */
export async function claimOverdueDeliveries(database: Database, limit: number): Promise<RowToEnqueue[]> {
  const pick = (among: Prisma.Sql) => Prisma.sql`
    WITH RECURSIVE known AS (
      -- Every origin with pending deliveries, and its first one: one probe of the index for each.
      (
        SELECT target, next_attempt_at
        FROM deliveries
        WHERE state = 'pending'
        ORDER BY target, next_attempt_at
        LIMIT 1
      )
      UNION ALL
      SELECT next.target, next.next_attempt_at
      FROM known
      CROSS JOIN LATERAL (
        SELECT target, next_attempt_at
        FROM deliveries
        WHERE state = 'pending' AND target > known.target
        ORDER BY target, next_attempt_at
        LIMIT 1
      ) next
    ), asked AS (
      -- In any order: where there are more than a page holds, all come to their turns.
      SELECT target,
        row_number() OVER (
          PARTITION BY split_part(target, ' ', 1) COLLATE "C"
          ORDER BY random()
        ) AS turn
      FROM known
      WHERE next_attempt_at <= now() AND NOT ${isCoolingDown('known.target')}
    )
    SELECT due.id
    FROM (SELECT target FROM asked ORDER BY turn, random()) AS shuffled
    CROSS JOIN LATERAL (
      SELECT id
      FROM deliveries
      WHERE state = 'pending'
        AND target = shuffled.target
        AND next_attempt_at <= now()
        AND due_at <= now()
        AND ${isStorable('deliveries.id')} ${among}
      ORDER BY next_attempt_at
      LIMIT ${ENQUEUED_PER_ORIGIN}
      FOR UPDATE SKIP LOCKED
    ) due
    LIMIT ${limit}`
  return await claimStorable(database, 'enqueue', pick, (picked) =>
    database.prisma.$queryRaw<RowToEnqueue[]>(sql.named('claimOverdueDeliveries')`
      UPDATE deliveries
      SET wakes = wakes + 1, due_at = now() + ${BACK_OFF}
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING id, wakes AS "dispatchCount"`),
  )
}

/**
 * Requeues now: ends the redelivery back-off of up to `limit` generations and `limit` deliveries. Called when queue
 * jobs were lost. Rows that wait for a lease, a submission back-off or their next attempt keep waiting.
 * @returns the number of rows
 */
export async function requeueNow(database: Database, limit: number): Promise<number> {
  const { prisma } = database
  const generations = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations g
    WHERE ${IN_BACK_OFF}
      AND due_at IS NOT NULL
      AND (status IN ('queued', 'submitting') OR answer IS NOT NULL)
      AND NOT (
        status = 'submitting'
        AND EXISTS (
          SELECT 1
          FROM submissions
          WHERE submissions.id = g.current_submission_id
            AND CASE state WHEN 'started' THEN lease_until ELSE retry_at END > now()
        )
      )
      AND ${isStorable('g.id')} ${among}
    ORDER BY due_at
    LIMIT ${limit}
    FOR UPDATE SKIP LOCKED`
  const deliveries = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM deliveries
    WHERE state = 'pending'
      AND ${IN_BACK_OFF}
      AND next_attempt_at <= now()
      AND ${isStorable('deliveries.id')} ${among}
    ORDER BY due_at
    LIMIT ${limit}
    FOR UPDATE SKIP LOCKED`
  const ended = await Promise.all([
    claimStorable(database, 'enqueue', generations, (picked) =>
      prisma.$queryRaw<unknown[]>(sql.named('requeueGenerations')`
        UPDATE generations
        SET due_at = now()
        WHERE id = ANY (ARRAY(${picked}))
        RETURNING 1`),
    ),
    claimStorable(database, 'enqueue', deliveries, (picked) =>
      prisma.$queryRaw<unknown[]>(sql.named('requeueDeliveries')`
        UPDATE deliveries
        SET due_at = now()
        WHERE id = ANY (ARRAY(${picked}))
        RETURNING 1`),
    ),
  ])
  return ended.flat().length
}

/** Ids of up to `limit` open batches whose generations have all ended. */
export async function endedBatches({ prisma }: Database, limit: number): Promise<string[]> {
  const rows = await prisma.$queryRaw<{ id: string }[]>(sql.named('endedBatches')`
    SELECT b.id
    FROM batches b
    WHERE b.completed_at IS NULL AND ${ALL_ENDED} AND ${isStorable('b.id')}
    ORDER BY b.id
    LIMIT ${limit}`)
  return rows.map((row) => row.id)
}
