// Requests for a whole batch that are not in batch-changes.ts: its results, and a child batch of its failed
// generations.

import { newId } from '@reelqueue/contract/terms/ids'
import type { Status } from '@reelqueue/contract/terms/status'
import { type Database, isUniqueViolation, type Sql } from '../database.ts'
import { type Generation, Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { insertBatchWithin, type NewBatch } from './batches.ts'
import type { NewGeneration } from './generations.ts'

/** For fifty thousand rows on a slow machine. */
const BULK_MAX_MS = 60_000

/** The first key of the advisory locks for retried batches: an arbitrary number, the same in every process. */
const RETRY_LOCKS = 7_301

export type RetryBatchResult = 'retried' | 'key_taken' | 'nothing_failed'

/** Rows of one INSERT. */
const CHUNK_ROWS = 1_000

/**
 * Makes a child batch of the failed generations of `parentId` that no child has taken yet. Each copy has a new id and
 * the original request. All or nothing. Overdue generations that are still polled are left out: they may still succeed.
 */
export async function retryBatch({ prisma }: Database, parentId: string, child: NewBatch): Promise<RetryBatchResult> {
  const retry = async (tx: Sql): Promise<RetryBatchResult> => {
    // One retry at a time: two children of the same generations would be paid for twice. The lock is not the batch's
    // row, because the end and the cancel of the batch need the row.
    await tx.$executeRaw(sql.named('lockRetriesOfBatch')`
      SELECT pg_advisory_xact_lock(${RETRY_LOCKS}, hashtext(${parentId}))`)
    const total = await insertBatchWithin(tx, child, failedAgain(tx, parentId, child))
    if (total === null) return 'key_taken'
    if (total === 0) throw new NothingFailed()
    return 'retried'
  }
  try {
    return await prisma.$transaction(retry, { timeout: BULK_MAX_MS })
  } catch (error) {
    // A process of an older version, without the lock, has taken some of the generations.
    if (error instanceof NothingFailed || isUniqueViolation(error)) return 'nothing_failed'
    throw error
  }
}

/** Rolls the transaction back. */
class NothingFailed extends Error {}

/**
 * Failed generations that no child has taken yet. A generation that is still polled may have a video that has been paid
 * for.
 */
const RETRYABLE = Prisma.sql`
  status = 'failed'
  AND answer IS NULL
  AND due_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM generations again WHERE again.retry_of = g.id)`

/** The number of generations that a retry of the batch would take. */
export async function countRetryable({ prisma }: Database, batchId: string): Promise<number> {
  const [row] = await prisma.$queryRaw<{ count: number }[]>(sql.named('countRetryable')`
    SELECT count(*)::int AS count
    FROM generations g
    WHERE batch_id = ${batchId} AND ${RETRYABLE}`)
  return row?.count ?? 0
}

async function* failedAgain(tx: Sql, parentId: string, child: NewBatch): AsyncGenerator<NewGeneration[]> {
  for (let after = ''; ; ) {
    const rows = await tx.$queryRaw<NewGeneration[]>(sql.named('failedAgain')`
      SELECT id AS "retryOf", id, custom_id AS "customId", model, prompt, size, seconds,
        input_reference AS "inputReference", priority, metadata, webhook_url AS "webhookUrl",
        on_unknown_submission::text AS "onUnknownSubmission"
      FROM generations g
      WHERE batch_id = ${parentId} AND id > ${after} AND ${RETRYABLE}
      ORDER BY id
      LIMIT ${CHUNK_ROWS}
      FOR UPDATE OF g`)
    const last = rows.at(-1)
    if (!last) return
    after = last.id
    yield rows.map((row) => ({
      ...row,
      id: newId('generation'),
      projectId: child.projectId,
      batchId: child.id,
      idempotencyKey: null,
      idempotencyHash: null,
    }))
  }
}

/** One line of a batch's results. */
type Result = Pick<
  Generation,
  'id' | 'customId' | 'status' | 'videoUrl' | 'videoUrlExpiresAt' | 'errorCode' | 'errorMessage'
>

/** Up to `limit` results in the order of the batch, after the generation `after`. */
export async function listResults(
  { prisma }: Database,
  batch: { readonly id: string; readonly projectId: string },
  limit: number,
  after: string,
  status?: Status,
): Promise<Result[]> {
  return await prisma.generation.findMany({
    where: { projectId: batch.projectId, batchId: batch.id, id: { gt: after }, ...(status && { status }) },
    orderBy: { id: 'asc' },
    take: limit,
    select: {
      id: true,
      customId: true,
      status: true,
      videoUrl: true,
      videoUrlExpiresAt: true,
      errorCode: true,
      errorMessage: true,
    },
  })
}
