// The list of generations over all projects. One request looks at a bounded number of rows: a page may be short, and its
// cursor goes on where the request has stopped looking.

import type { Database } from '../database.ts'
import { type Generation, Prisma, type PrismaClient } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { filterSql, idRange, type OperatorFilter } from './generation-filter.ts'

/** Rows that one request looks at. */
export const LOOKED_MAX = 20_000

export interface GenerationPage {
  readonly rows: readonly Generation[]
  /** The id where the next page begins (exclusive); null: nothing older. */
  readonly next: string | null
  /** The oldest row that was looked at, when the page ended for that. */
  readonly lookedBackTo: Date | null
}

/** Up to `limit` generations older than `before`, newest first. */
export async function listAllGenerations(
  { prisma }: Database,
  filter: OperatorFilter,
  limit: number,
  before?: string,
): Promise<GenerationPage> {
  const older = before === undefined ? Prisma.empty : Prisma.sql`AND id < ${before}`
  const isExact = isServedByIndex(filter)
  const looked = source(filter, older, isExact ? limit + 1 : LOOKED_MAX)
  const found = await prisma.$queryRaw<{ id: string }[]>(sql.named('listAllGenerations')`
    SELECT id
    FROM (${looked}) looked
    WHERE true ${filterSql(filter)}
    ORDER BY id DESC
    LIMIT ${limit + 1}`)
  const shown = found.slice(0, limit).map((row) => row.id)
  const rows = await prisma.generation.findMany({ where: { id: { in: shown } }, orderBy: { id: 'desc' } })
  if (found.length > limit) return { rows, next: shown.at(-1) ?? null, lookedBackTo: null }
  const last = isExact ? null : await lastLooked(prisma, looked)
  return { rows, next: last?.id ?? null, lookedBackTo: last?.createdAt ?? null }
}

/** The last row that may be looked at; null when all older rows were looked at. */
async function lastLooked(prisma: PrismaClient, looked: Prisma.Sql): Promise<{ id: string; createdAt: Date } | null> {
  const [row] = await prisma.$queryRaw<{ id: string; createdAt: Date }[]>(sql.named('lastLooked')`
    SELECT id, created_at AS "createdAt"
    FROM (${looked}) looked
    ORDER BY id DESC
    OFFSET ${LOOKED_MAX - 1}
    LIMIT 1`)
  return row ?? null
}

/** Generations by id, newest first. */
export async function readAllGenerations(
  { prisma }: Database,
  ids: readonly string[],
  projectId: string | undefined,
): Promise<Generation[]> {
  return await prisma.generation.findMany({
    where: { id: { in: [...ids] }, ...(projectId !== undefined && { projectId }) },
    orderBy: { id: 'desc' },
  })
}

/** The rows to look at, newest first: from the index that fits the filter best. */
function source(filter: OperatorFilter, older: Prisma.Sql, take: number): Prisma.Sql {
  const range = idRange(filter)
  const bounds = range.length === 0 ? older : Prisma.sql`${older} AND ${Prisma.join(range, ' AND ')}`
  const columns = Prisma.sql`
    id, project_id, status, error_code, model, batch_id, custom_id, metadata, prompt,
    may_be_charged, video_url, created_at`
  const from = (which: Prisma.Sql) => Prisma.sql`
    SELECT ${columns}
    FROM generations
    WHERE ${which} ${bounds}
    ORDER BY id DESC
    LIMIT ${take}`
  if (filter.batchId !== undefined)
    return from(Prisma.sql`
      project_id = (SELECT project_id FROM batches WHERE id = ${filter.batchId})
      AND batch_id = ${filter.batchId}`)
  const errorCode = filter.errorCode ?? (filter.isUnknown ? 'submission_unknown' : undefined)
  if (errorCode !== undefined) return from(Prisma.sql`status = 'failed' AND error_code = ${errorCode}`)
  const ofProject = filter.projectId === undefined ? Prisma.empty : Prisma.sql`WHERE projects.id = ${filter.projectId}`
  const eachProject = (which: Prisma.Sql) => Prisma.sql`
    SELECT each.*
    FROM projects
    CROSS JOIN LATERAL (
      SELECT ${columns}
      FROM generations
      WHERE project_id = projects.id AND ${which} ${bounds}
      ORDER BY id DESC
      LIMIT ${take}
    ) each ${ofProject}`
  if (filter.customId !== undefined) return eachProject(Prisma.sql`custom_id = ${filter.customId}`)
  if (filter.statuses !== undefined && isServedByIndex(filter)) {
    const each = filter.statuses.map((status) => eachProject(statusSql(status)))
    return Prisma.join(each, ' UNION ALL ')
  }
  return from(filter.projectId === undefined ? Prisma.sql`true` : Prisma.sql`project_id = ${filter.projectId}`)
}

/** Whether an index has exactly the rows of the filter: one condition, and perhaps project and time. */
function isServedByIndex({
  projectId,
  createdAfter: _after,
  createdBefore: _before,
  ...rest
}: OperatorFilter): boolean {
  const conditions = Object.entries(rest).filter(([, value]) => value !== undefined && value !== false)
  if (conditions.length === 0) return true
  if (conditions.length > 1) return false
  const [[name] = ['']] = conditions
  return ['statuses', 'customId'].includes(name) || (projectId === undefined && IN_ORDER_OF_IDS.includes(name))
}

/** Conditions whose index is in the order of ids, over all projects. */
const IN_ORDER_OF_IDS = ['batchId', 'errorCode', 'isUnknown']

/** A constant of the statement, not a parameter: only then does the planner use the partial index for these rows. */
const statusSql = (status: string) =>
  Prisma.raw(
    `status = '${status.replace(/\W/g, '')}'${['submitting', 'processing'].includes(status) ? ' AND admitted_at IS NOT NULL' : ''}`,
  )
