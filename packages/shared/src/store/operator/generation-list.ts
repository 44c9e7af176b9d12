// The list of generations over all projects. One request looks at a bounded number of rows: a page may be short, and its
// cursor goes on where the request has stopped looking.

import type { Database } from '../database.ts'
import { type Generation, Prisma } from '../generated/client.ts'
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
  const found = await prisma.$queryRaw<{ id: string | null; lookedTo: string | null; looked: number }[]>(sql.named(
    'listAllGenerations',
  )`
    WITH looked AS MATERIALIZED (${source(filter, older, limit)}), page AS (
      SELECT id
      FROM looked
      WHERE true ${filterSql(filter)}
      ORDER BY id DESC
      LIMIT ${limit + 1}
    )
    SELECT page.id, (SELECT min(id) FROM looked) AS "lookedTo",
      (SELECT count(*)::int FROM looked) AS looked
    FROM (SELECT 1) AS one
    LEFT JOIN page ON true
    ORDER BY page.id DESC`)
  const ids = found.flatMap((row) => row.id ?? [])
  const shown = ids.slice(0, limit)
  const rows = await prisma.generation.findMany({ where: { id: { in: shown } }, orderBy: { id: 'desc' } })
  if (ids.length > limit) return { rows, next: shown.at(-1) ?? null, lookedBackTo: null }
  const [{ looked, lookedTo } = { looked: 0, lookedTo: null }] = found
  if (lookedTo === null || looked < sizeOf(filter, limit)) return { rows, next: null, lookedBackTo: null }
  const oldest = await prisma.generation.findUnique({ where: { id: lookedTo }, select: { createdAt: true } })
  return { rows, next: lookedTo, lookedBackTo: oldest?.createdAt ?? null }
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
function source(filter: OperatorFilter, older: Prisma.Sql, limit: number): Prisma.Sql {
  const range = idRange(filter)
  const bounds = range.length === 0 ? older : Prisma.sql`${older} AND ${Prisma.join(range, ' AND ')}`
  const columns = Prisma.sql`
    id, project_id, status, error_code, model, batch_id, custom_id, metadata, prompt,
    may_be_charged, video_url`
  const from = (which: Prisma.Sql) => Prisma.sql`
    SELECT ${columns}
    FROM generations
    WHERE ${which} ${bounds}
    ORDER BY id DESC
    LIMIT ${LOOKED_MAX}`
  if (filter.batchId !== undefined)
    return from(Prisma.sql`
      project_id = (SELECT project_id FROM batches WHERE id = ${filter.batchId})
      AND batch_id = ${filter.batchId}`)
  const errorCode = filter.errorCode ?? (filter.isUnknown ? 'submission_unknown' : undefined)
  if (errorCode !== undefined) return from(Prisma.sql`status = 'failed' AND error_code = ${errorCode}`)
  const ofProject = filter.projectId === undefined ? Prisma.empty : Prisma.sql`WHERE projects.id = ${filter.projectId}`
  const eachProject = (which: Prisma.Sql, take: number) => Prisma.sql`
    SELECT each.*
    FROM projects
    CROSS JOIN LATERAL (
      SELECT ${columns}
      FROM generations
      WHERE project_id = projects.id AND ${which} ${bounds}
      ORDER BY id DESC
      LIMIT ${take}
    ) each ${ofProject}`
  if (filter.customId !== undefined) return eachProject(Prisma.sql`custom_id = ${filter.customId}`, limit + 1)
  if (isStatusAlone(filter)) {
    const each = (filter.statuses ?? []).map((status) => eachProject(statusSql(status), limit + 1))
    return Prisma.join(each, ' UNION ALL ')
  }
  return from(filter.projectId === undefined ? Prisma.sql`true` : Prisma.sql`project_id = ${filter.projectId}`)
}

/** Whether an index has exactly the rows of the filter: status, and perhaps project and time. */
function isStatusAlone({
  statuses,
  projectId: _project,
  createdAfter: _after,
  createdBefore: _before,
  ...rest
}: OperatorFilter) {
  return statuses !== undefined && Object.values(rest).every((value) => value === undefined || value === false)
}

/** With this number of looked rows or more, older rows may be left. */
const sizeOf = (filter: OperatorFilter, limit: number) =>
  filter.customId !== undefined || isStatusAlone(filter) ? limit + 1 : LOOKED_MAX

/** A constant of the statement, not a parameter: only then does the planner use the partial index for these rows. */
const statusSql = (status: string) =>
  Prisma.raw(
    `status = '${status.replace(/\W/g, '')}'${['submitting', 'processing'].includes(status) ? ' AND admitted_at IS NOT NULL' : ''}`,
  )
