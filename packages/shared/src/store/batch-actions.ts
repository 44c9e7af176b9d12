// What may be asked of a whole batch: one statement each, however many generations it has, and no queue is touched.

import { newId } from '../domain/ids.ts'
import type { Status } from '../domain/status.ts'
import { insertBatchWithin, type NewBatch } from './batches.ts'
import { cancelGeneration } from './cancellation.ts'
import { type Database, type Sql, withRetry } from './database.ts'
import { type Generation, Prisma } from './generated/client.ts'
import type { NewGeneration } from './generations.ts'
import { type Moved, moveGenerations } from './moves.ts'

/** For fifty thousand rows on a slow machine. */
const BULK_MAX_MS = 60_000

/** Cancels what no submission has begun for. Those that are being submitted or rendered are left alone. */
export async function cancelQueued({ prisma }: Database, batchId: string): Promise<Moved[]> {
  const which = Prisma.sql`batch_id = ${batchId} AND status = 'queued'`
  const guard = Prisma.sql`g.status = 'queued'`
  return await withRetry(() => moveGenerations(prisma, which, 'cancel', { set: Prisma.sql`due_at = NULL`, guard }))
}

/** Generations cancelled side by side. */
const CANCELS_AT_ONCE = 8

/**
 * Cancels also what is being submitted or rendered, as `cancelGeneration` does each: no more than there are slots.
 * @returns the moves made at once; the others end when their submissions do
 */
export async function cancelUnderWay(database: Database, batchId: string, renderMaxMs: number): Promise<Moved[]> {
  const rows = await database.prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM generations WHERE batch_id = ${batchId} AND status IN ('submitting', 'processing')`
  const moved: Moved[] = []
  const next = rows.values()
  const cancelOneByOne = async () => {
    for (const { id } of next) {
      const result = await cancelGeneration(database, id, renderMaxMs)
      if (result.kind !== 'requested') moved.push(...result.moved)
    }
  }
  await Promise.all(Array.from({ length: CANCELS_AT_ONCE }, cancelOneByOne))
  return moved
}

/** Gives what waits for admission another place among the project's own. @returns how many generations */
export async function reprioritize({ prisma }: Database, batchId: string, priority: number): Promise<number> {
  const change = () => prisma.$executeRaw`
    UPDATE generations SET priority = ${priority}
    WHERE id = ANY (ARRAY(
      SELECT id FROM generations WHERE batch_id = ${batchId} AND status = 'queued' AND admitted_at IS NULL ORDER BY id FOR UPDATE))`
  return await withRetry(change)
}

export type RetryBatchResult = 'retried' | 'key_taken' | 'nothing_failed'

/** Rows of one INSERT. */
const CHUNK_ROWS = 1_000

/**
 * Makes a child batch of the failed generations of `parentId` that no child has taken yet, each with a new id and as it was asked
 * for. All or nothing. Those that failed at their deadline and are still asked about are left: they may succeed yet.
 */
export async function retryBatch({ prisma }: Database, parentId: string, child: NewBatch): Promise<RetryBatchResult> {
  const retry = async (tx: Sql): Promise<RetryBatchResult> => {
    // One at a time: two children of the same generations would be paid for twice.
    await tx.$executeRaw`SELECT 1 FROM batches WHERE id = ${parentId} FOR UPDATE`
    const total = await insertBatchWithin(tx, child, failedAgain(tx, parentId, child))
    if (total === null) return 'key_taken'
    if (total === 0) throw new NothingFailed()
    return 'retried'
  }
  try {
    return await prisma.$transaction(retry, { timeout: BULK_MAX_MS })
  } catch (error) {
    if (error instanceof NothingFailed) return 'nothing_failed'
    throw error
  }
}

/** Undoes the transaction. */
class NothingFailed extends Error {}

/** Failed ones that no child has taken yet. One that is still asked about may have its video: it is paid for. */
const RETRYABLE = Prisma.sql`status = 'failed' AND answer IS NULL AND due_at IS NULL
  AND NOT EXISTS (SELECT 1 FROM generations again WHERE again.retry_of = g.id)`

/** How many generations a retry of the batch would take. */
export async function countRetryable({ prisma }: Database, batchId: string): Promise<number> {
  const [row] = await prisma.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM generations g WHERE batch_id = ${batchId} AND ${RETRYABLE}`
  return row?.count ?? 0
}

async function* failedAgain(tx: Sql, parentId: string, child: NewBatch): AsyncGenerator<NewGeneration[]> {
  for (let after = ''; ; ) {
    const rows = await tx.$queryRaw<NewGeneration[]>`
      SELECT id AS "retryOf", id, custom_id AS "customId", model, prompt, size, seconds, input_reference AS "inputReference",
        priority, metadata, webhook_url AS "webhookUrl", on_unknown_submission::text AS "onUnknownSubmission"
      FROM generations g
      WHERE batch_id = ${parentId} AND id > ${after} AND ${RETRYABLE}
      ORDER BY id LIMIT ${CHUNK_ROWS} FOR UPDATE OF g`
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

/** What a line of a batch's results says. */
type Result = Pick<
  Generation,
  'id' | 'customId' | 'status' | 'videoUrl' | 'videoUrlExpiresAt' | 'errorCode' | 'errorMessage'
>

/** Up to `limit` results in the order of the batch, those after the generation `after`. */
export async function listResults(
  { prisma }: Database,
  batchId: string,
  limit: number,
  after: string,
  status?: Status,
): Promise<Result[]> {
  return await prisma.generation.findMany({
    where: { batchId, id: { gt: after }, ...(status && { status }) },
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
