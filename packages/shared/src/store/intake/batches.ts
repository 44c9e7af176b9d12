// Batches: many generations accepted together. Moves never write the batch's row; the end of a batch is noticed after
// them.

import { BATCH_COMPLETED } from '@reelqueue/contract/terms/event-types'
import type { Status } from '@reelqueue/contract/terms/status'
import { z } from 'zod'
import { createProfileCounter, type ProfileCount } from '../../domain/batch-estimate.ts'
import { type Database, type Sql, withRetry } from '../database.ts'
import { CREATE_DELIVERIES } from '../deliveries/fan-out.ts'
import { type Batch, Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { withoutUnstorable } from '../unstorable-search.ts'
import { insertGenerations, type NewGeneration } from './generations.ts'

export type { Batch }

const profiles = z.array(
  z.object({ model: z.string(), seconds: z.number().nullable(), size: z.string().nullable(), count: z.number() }),
)

/** The number of generations of each render profile; null for a batch older than the counting. */
export function profilesOf(batch: Pick<Batch, 'kinds'>): readonly ProfileCount[] | null {
  return profiles.nullable().parse(batch.kinds)
}

export interface NewBatch {
  readonly id: string
  readonly projectId: string
  /** The batch whose failed generations this batch retries. */
  readonly parentId: string | null
  readonly webhookUrl: string | null
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly idempotencyKey: string | null
  readonly idempotencyHash: string | null
}

/** The number of a batch's generations in each status. */
export type Counts = Readonly<Record<Status, number>>

/** For fifty thousand rows on a slow machine; each statement has its own bound too. */
const INSERT_MAX_MS = 300_000

/**
 * Inserts a batch and its generations, all or nothing: an error of `chunks` rolls the insert back. The next chunk is
 * requested while Postgres takes the last chunk.
 * @returns false when the batch's idempotency key is taken; then nothing is inserted
 */
export async function insertBatch(
  { prisma }: Database,
  batch: NewBatch,
  chunks: AsyncIterable<readonly NewGeneration[]> | Iterable<readonly NewGeneration[]>,
): Promise<boolean> {
  const insert = async (tx: Sql) => (await insertBatchWithin(tx, batch, chunks)) !== null
  return await prisma.$transaction(insert, { timeout: INSERT_MAX_MS })
}

/** Like `insertBatch`, as part of a transaction. @returns the number of generations, or null when the key is taken */
export async function insertBatchWithin(
  tx: Sql,
  batch: NewBatch,
  chunks: AsyncIterable<readonly NewGeneration[]> | Iterable<readonly NewGeneration[]>,
): Promise<number | null> {
  const metadata = batch.metadata && JSON.stringify(batch.metadata)
  const inserted = await tx.$executeRaw(sql.named('insertBatch')`
    INSERT INTO batches (
      id, project_id, parent_id, total, webhook_url, metadata, idempotency_key, idempotency_hash
    )
    VALUES (
      ${batch.id}, ${batch.projectId}, ${batch.parentId}, 0, ${batch.webhookUrl},
      ${metadata}::jsonb, ${batch.idempotencyKey}, ${batch.idempotencyHash}
    )
    ON CONFLICT (project_id, idempotency_key) DO NOTHING`)
  if (inserted === 0) return null
  let total = 0
  const counter = createProfileCounter()
  let inserting: Promise<unknown> = Promise.resolve()
  try {
    for await (const rows of chunks) {
      await inserting
      total += rows.length
      for (const row of rows) counter.add(row)
      inserting = insertGenerations(tx, rows)
      // The next await receives a failure. Without this line, an earlier error of `chunks` would leave the rejection
      // unhandled.
      inserting.catch(() => undefined)
    }
  } catch (error) {
    // After a failed insert, `chunks` cannot read in the same transaction. The insert's error is the cause, so it is
    // thrown first.
    await inserting
    throw error
  }
  await inserting
  await tx.$executeRaw(sql.named('completeInsertedBatch')`
    UPDATE batches
    SET total = ${total}, kinds = ${JSON.stringify(counter.profiles())}::jsonb
    WHERE id = ${batch.id}`)
  return total
}

export async function findBatchByIdempotencyKey(
  { prisma }: Database,
  projectId: string,
  key: string,
): Promise<Batch | null> {
  return await prisma.batch.findFirst({ where: { projectId, idempotencyKey: key } })
}

/** One batch of the project, or null. A batch of another project counts as unknown. */
export async function findBatch({ prisma }: Database, projectId: string, id: string): Promise<Batch | null> {
  return await prisma.batch.findFirst({ where: { id, projectId } })
}

/** The batch of an event, of any project. */
export async function readBatch({ prisma }: Database, id: string): Promise<Batch> {
  return await prisma.batch.findUniqueOrThrow({ where: { id } })
}

/** Up to `limit` batches older than `before`, newest first; with `parentId` only the retries of that batch. */
export async function listBatches(
  { prisma }: Database,
  projectId: string,
  limit: number,
  { before, parentId }: { readonly before?: string | undefined; readonly parentId?: string | undefined } = {},
): Promise<Batch[]> {
  return await prisma.batch.findMany({
    where: { projectId, ...(parentId && { parentId }), ...(before && { id: { lt: before } }) },
    orderBy: { id: 'desc' },
    take: limit,
  })
}

/** The counts by status of each batch, in one index scan over the generations. */
export async function countByStatus({ prisma }: Database, batchIds: readonly string[]): Promise<Map<string, Counts>> {
  const rows = await prisma.$queryRaw<{ batchId: string; status: Status; count: number }[]>(sql.named('countByStatus')`
    SELECT batch_id AS "batchId", status::text, count(*)::int AS count
    FROM generations
    WHERE batch_id = ANY (${batchIds}::text[]) AND batch_id IS NOT NULL
    GROUP BY batch_id, status`)
  const none: Counts = { queued: 0, submitting: 0, processing: 0, completed: 0, failed: 0, cancelled: 0 }
  const counts = new Map(batchIds.map((id) => [id, none]))
  for (const { batchId, status, count } of rows)
    counts.set(batchId, { ...(counts.get(batchId) ?? none), [status]: count })
  return counts
}

/**
 * Completes the batches of `ids` whose generations have all ended, with the event and its deliveries. Called after each
 * commit that may have ended the last generation, and by reconcile. A batch completes once.
 * @returns the created deliveries, to enqueue
 */
export async function finishBatches(database: Database, ids: readonly string[]): Promise<string[]> {
  const batches = ids.map((id) => ({ id }))
  return await withoutUnstorable(database, 'end', batches, (some) => {
    return finish(
      database,
      some.map((batch) => batch.id),
    )
  })
}

async function finish({ prisma }: Database, ids: readonly string[]): Promise<string[]> {
  const rows = await withRetry(() =>
    prisma.$queryRaw<{ id: string }[]>(sql.named('finishBatches')`
      WITH moved AS (
        UPDATE batches b
        SET completed_at = now(), event_seq = b.event_seq + 1
        WHERE b.id = ANY (
            ARRAY(
              SELECT id
              FROM batches
              WHERE id = ANY (${ids}::text[]) AND completed_at IS NULL
              ORDER BY id
              FOR UPDATE
            )
          )
          AND b.completed_at IS NULL
          AND ${ALL_ENDED}
        RETURNING b.*
      ), recorded AS (
        INSERT INTO events (id, project_id, batch_id, sequence, type, data)
        SELECT new_id('evt'), project_id, id, event_seq, ${BATCH_COMPLETED}, ${BATCH_SNAPSHOT}
        FROM moved
        RETURNING id, project_id, batch_id, type
      ), fact AS (
        SELECT recorded.*, moved.webhook_url
        FROM recorded
        JOIN moved ON moved.id = recorded.batch_id
      ), created AS (${CREATE_DELIVERIES})
      SELECT id
      FROM created`),
  )
  return rows.map((row) => row.id)
}

/** SQL condition: no generation of the batch `b` is open. One index probe for each open status. */
export const ALL_ENDED = Prisma.sql`
  NOT EXISTS (SELECT 1 FROM generations g WHERE g.batch_id = b.id AND g.status = 'queued')
  AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.batch_id = b.id AND g.status = 'submitting')
  AND NOT EXISTS (SELECT 1 FROM generations g WHERE g.batch_id = b.id AND g.status = 'processing')`

/** The counts at the end of the batch. Later retries change the counts of the batch, never the counts of the event. */
const BATCH_SNAPSHOT = Prisma.sql`
  jsonb_build_object(
    'completed_at', to_char(completed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    'counts', (
      SELECT jsonb_object_agg(status, count)
      FROM (
        SELECT status, count(*)
        FROM generations
        WHERE batch_id = moved.id
        GROUP BY status
      ) AS by_status
    )
  )`
