// Reads of generations and of their timelines.

import type { Status } from '@reelqueue/contract/terms/status'
import { OPEN_STATUSES, TERMINAL_STATUSES } from '@reelqueue/contract/terms/status'
import type { Database } from '../database.ts'
import { type Event, type Generation, Prisma, type PrismaClient } from '../generated/client.ts'
import { sql } from '../sql.ts'

/** The generation created with an idempotency key, read in a separate statement after a lost race. */
export async function findByIdempotencyKey(
  { prisma }: Database,
  projectId: string,
  key: string,
): Promise<Generation | null> {
  return await prisma.generation.findFirst({ where: { projectId, idempotencyKey: key } })
}

/** One generation of the project, or null. A generation of another project counts as unknown. */
export async function findGeneration({ prisma }: Database, projectId: string, id: string): Promise<Generation | null> {
  const row = await prisma.generation.findFirst({ where: { id, projectId } })
  return row && ((await withMarks(prisma, [row]))[0] ?? row)
}

/** Adds the batch's cancel request, which is on the batch's row, to generations that no page has cancelled yet. */
async function withMarks(prisma: PrismaClient, rows: readonly Generation[]): Promise<Generation[]> {
  const isOpen = ({ status }: Generation) => OPEN_STATUSES.some((open) => open === status)
  const batchIds = new Set(rows.flatMap((row) => (row.batchId !== null && isOpen(row) ? row.batchId : [])))
  if (batchIds.size === 0) return [...rows]
  const batches = await prisma.batch.findMany({
    where: { id: { in: [...batchIds] }, cancelRequestedAt: { not: null } },
    select: { id: true, cancelRequestedAt: true, cancelRendering: true },
  })
  const byId = new Map(batches.map((batch) => [batch.id, batch]))
  return rows.map((row) => {
    const batch = row.batchId === null || !isOpen(row) ? undefined : byId.get(row.batchId)
    const isMeant = batch && (row.status === 'queued' || batch.cancelRendering)
    return isMeant ? { ...row, cancelRequestedAt: row.cancelRequestedAt ?? batch.cancelRequestedAt } : row
  })
}

/** One generation of any project: for operators. */
export async function findAnyGeneration({ prisma }: Database, id: string): Promise<Generation | null> {
  return await prisma.generation.findUnique({ where: { id } })
}

export interface GenerationFilter {
  readonly status?: Status | undefined
  readonly batchId?: string | undefined
  readonly customId?: string | undefined
}

/** Up to `limit` generations older than `before`, newest first. */
export async function listGenerations(
  { prisma }: Database,
  projectId: string,
  filter: GenerationFilter,
  limit: number,
  before?: string,
): Promise<Generation[]> {
  const { status, batchId, customId } = filter
  const where: Prisma.GenerationWhereInput = {
    projectId,
    ...(batchId && { batchId }),
    ...(customId && { customId }),
    ...(before && { id: { lt: before } }),
  }
  if (status) {
    const rows = await prisma.$queryRaw<{ id: string }[]>(sql.named('listGenerations')`
      SELECT id
      FROM generations
      WHERE project_id = ${projectId}
        AND ${isStatus(status)} ${batchId ? Prisma.sql`AND batch_id = ${batchId}` : Prisma.empty}
          ${customId ? Prisma.sql`AND custom_id = ${customId}` : Prisma.empty}
          ${before ? Prisma.sql`AND id < ${before}` : Prisma.empty}
      ORDER BY id DESC
      LIMIT ${limit}`)
    where.id = { in: rows.map((row) => row.id) }
  }
  return await withMarks(prisma, await prisma.generation.findMany({ where, orderBy: { id: 'desc' }, take: limit }))
}

/** A constant of the statement, not a parameter: only then does the planner use the partial index for these rows. */
const isStatus = (status: Status) =>
  Prisma.raw(
    `status = '${status}'${status === 'submitting' || status === 'processing' ? ' AND admitted_at IS NOT NULL' : ''}`,
  )

/** The ids among `ids` that have ended: one query serves all waiting requests. */
export async function endedAmong({ prisma }: Database, ids: readonly string[]): Promise<string[]> {
  const rows = await prisma.$queryRaw<{ id: string }[]>(sql.named('endedAmong')`
    SELECT id
    FROM generations
    WHERE id = ANY (${ids}::text[])
      AND status = ANY (${TERMINAL_STATUSES}::text[]::generation_status[])`)
  return rows.map((row) => row.id)
}

/** The timeline of a generation, oldest first: at most `limit` events after the sequence `after`. */
export async function listEvents(
  { prisma }: Database,
  generationId: string,
  limit: number,
  after = 0,
): Promise<Event[]> {
  return await prisma.event.findMany({
    where: { generationId, sequence: { gt: after } },
    orderBy: { sequence: 'asc' },
    take: limit,
  })
}

/** The number of a project's generations that wait for a slot, counted up to `upTo`. */
export async function countWaiting({ prisma }: Database, projectId: string, upTo: number): Promise<number> {
  const [row] = await prisma.$queryRaw<{ count: number }[]>(sql.named('countWaiting')`
    SELECT count(*)::int AS count
    FROM (
      SELECT 1
      FROM generations
      WHERE project_id = ${projectId} AND status = 'queued' AND admitted_at IS NULL
      LIMIT ${upTo}
    ) AS waiting`)
  return row?.count ?? 0
}
