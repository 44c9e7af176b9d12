// The queue position of a queued generation within its project, and the recent admission rate of the project.

import type { AdmissionRate } from '../../domain/queue-estimate.ts'
import type { UpstreamModels } from '../../domain/upstream-models.ts'
import type { Database } from '../database.ts'
import { sql } from '../sql.ts'
import { isAfterRefusal, isClosed } from './submitting-gate.ts'

/** The queue position of a generation is counted up to this. */
const POSITIONS_MAX = 10_000
/**
 * The queue position of the last generation of a batch: up to the largest batch behind another batch of the same size.
 */
const BATCH_POSITIONS_MAX = 100_000

export interface QueuePosition {
  /** Generations of the project ahead of this generation at the same upstream, up to a bound. */
  readonly ahead: number
  readonly isProjectPaused: boolean
  /** The upstream admits no generation of any project. */
  readonly isSubmittingHeld: boolean
  /** Slots of generations in flight at the upstream, counted up to a bound. */
  readonly slotsInFlight: number
  /** Slots kept for renders that no generation waits for, counted up to the same bound. */
  readonly slotsKept: number
  readonly rate: AdmissionRate
}

/** The queue position of a generation that waits for admission. Reads the backlog index and a few minutes of counts. */
export async function findQueuePosition(
  { prisma }: Database,
  { name: upstream, models }: UpstreamModels,
  { id, projectId, priority }: { readonly id: string; readonly projectId: string; readonly priority: number },
  overMinutes: number,
  positionsMax = POSITIONS_MAX,
): Promise<QueuePosition> {
  const [row] = await prisma.$queryRaw<(Omit<QueuePosition, 'rate'> & AdmissionRate)[]>(sql.named('findQueuePosition')`
    SELECT (
        SELECT least(${positionsMax}, coalesce(sum(ahead), 0))::int
        FROM unnest(${models}::text[]) AS of (model),
          -- Two ranges of the index for each model; nothing behind the generation is looked at.
          LATERAL (
            SELECT count(*) AS ahead
            FROM (
              (
                SELECT 1
                FROM generations
                WHERE project_id = ${projectId}
                  AND model = of.model
                  AND status = 'queued'
                  AND admitted_at IS NULL
                  AND priority > ${priority}
                LIMIT ${positionsMax}
              )
              UNION ALL
              (
                SELECT 1
                FROM generations
                WHERE project_id = ${projectId}
                  AND model = of.model
                  AND status = 'queued'
                  AND admitted_at IS NULL
                  AND priority = ${priority}
                  AND id < ${id}
                LIMIT ${positionsMax}
              )
            ) AS before
          ) AS counted
      ) AS ahead,
      (SELECT paused_at IS NOT NULL FROM projects WHERE id = ${projectId}) AS "isProjectPaused",
      ${isClosed(upstream)} OR ${isAfterRefusal(upstream)} AS "isSubmittingHeld",
      (
        SELECT count(*)::int
        FROM (
          SELECT 1
          FROM generations
          WHERE admitted_at IS NOT NULL
            AND status IN ('queued', 'submitting', 'processing')
            AND model = ANY (${models}::text[])
          LIMIT ${POSITIONS_MAX}
        ) AS own
      ) AS "slotsInFlight",
      (
        SELECT count(*)::int
        FROM (
          SELECT 1
          FROM generations
          WHERE slot_until > now() AND slot_until IS NOT NULL AND model = ANY (${models}::text[])
          LIMIT ${POSITIONS_MAX}
        ) AS late
      ) AS "slotsKept",
      coalesce(sum(count), 0)::int AS admitted,
      coalesce(extract(epoch FROM now() - min(minute)) / 60, 0)::float8 AS minutes
    FROM admissions
    WHERE project_id = ${projectId} AND minute > now() - ${overMinutes} * interval '1 minute'`)
  if (!row) throw new Error('an aggregate without a row')
  const { admitted, minutes, ...position } = row
  return { ...position, rate: { admitted, minutes } }
}

/**
 * The queue position of a batch's generation that will be admitted last; null when no generation waits. Reads the
 * waiting generations of the batch.
 */
export async function findLastPosition(
  database: Database,
  upstream: UpstreamModels,
  batchId: string,
  overMinutes: number,
): Promise<QueuePosition | null> {
  const [last] = await database.prisma.$queryRaw<{ id: string; projectId: string; priority: number }[]>(sql.named(
    'findLastPosition',
  )`
    SELECT id, project_id AS "projectId", priority
    FROM generations
    WHERE batch_id = ${batchId} AND status = 'queued' AND admitted_at IS NULL
    ORDER BY priority, id DESC
    LIMIT 1`)
  return last ? await findQueuePosition(database, upstream, last, overMinutes, BATCH_POSITIONS_MAX) : null
}

/** Deletes admission counts that no estimate reads. */
export async function purgeOldAdmissions({ prisma }: Database): Promise<void> {
  await prisma.$executeRaw(
    sql.named('purgeOldAdmissions')`DELETE FROM admissions WHERE minute < now() - interval '1 day'`,
  )
}
