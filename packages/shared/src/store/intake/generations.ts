// Accepting and reading generations. Every access is an index lookup, for any size of the history.

import type { Status } from '@reelqueue/contract/terms/status'
import { OPEN_STATUSES, TERMINAL_STATUSES } from '@reelqueue/contract/terms/status'
import { type Database, PREPARED, type Sql, withRetry } from '../database.ts'
import { type Event, type Generation, Prisma, type PrismaClient } from '../generated/client.ts'

export type { Event, Generation }

/** A validated request, in normal form. */
export interface NewGeneration {
  readonly id: string
  readonly projectId: string
  readonly batchId: string | null
  /** The failed generation of another batch that this generation retries. */
  readonly retryOf: string | null
  readonly customId: string | null
  readonly model: string
  readonly prompt: string
  readonly size: string | null
  readonly seconds: number | null
  readonly inputReference: readonly string[] | null
  readonly priority: number
  readonly metadata: Readonly<Record<string, unknown>> | null
  readonly webhookUrl: string | null
  /** Null: the default of the project. */
  readonly onUnknownSubmission: 'fail' | 'resubmit' | null
  readonly idempotencyKey: string | null
  readonly idempotencyHash: string | null
}

/** A request for one generation, with the hash of its API key. */
export interface Wish {
  readonly row: NewGeneration
  readonly keyHash: string
}

/** The values that Postgres adds to a stored row. */
export interface Stored {
  readonly createdAt: Date
  readonly onUnknownSubmission: 'fail' | 'resubmit'
}

/**
 * Accepts concurrent requests in one statement and one commit. The results are in the order of `wishes`.
 * @returns null when the idempotency key is taken or the API key is not valid
 */
export async function acceptGenerations({ prisma }: Database, wishes: readonly Wish[]): Promise<(Stored | null)[]> {
  // Sorted by idempotency key, so that two processes do not wait for each other's keys. A remaining deadlock is
  // retried.
  const sorted = wishes.toSorted((one, other) => {
    if (keyOf(one) === keyOf(other)) return 0
    return keyOf(one) < keyOf(other) ? -1 : 1
  })
  const rows = sorted.map((wish) => wish.row)
  const stored = await withRetry(() =>
    insertGenerations(
      prisma,
      rows,
      sorted.map((wish) => wish.keyHash),
    ),
  )
  return wishes.map(({ row }) => stored.get(row.id) ?? null)
}

const keyOf = ({ row }: Wish) => row.idempotencyKey ?? ''

/**
 * Inserts generations with their first events in one statement. A missing policy for unknown submissions comes from the
 * project.
 * @param keyHashes the hash of each row's API key, when the key must be valid
 * @returns the stored values by id, without rows whose idempotency key is taken
 */
export async function insertGenerations(
  sql: Sql,
  rows: readonly NewGeneration[],
  keyHashes?: readonly string[],
): Promise<Map<string, Stored>> {
  const isAlive = keyHashes
    ? Prisma.sql`
      WHERE EXISTS (
        SELECT 1
        FROM api_keys
        WHERE api_keys.hash = (${keyHashes}::text[])[wish.number] AND revoked_at IS NULL
      )`
    : Prisma.empty
  const inserted = await sql.$queryRaw<(Stored & { id: string })[]>`
    ${Prisma.raw(PREPARED)}
    WITH accepted AS (
      INSERT INTO generations (
        id, project_id, batch_id, custom_id, model, prompt, size, seconds, input_reference,
        priority, metadata, webhook_url, idempotency_key, idempotency_hash, retry_of,
        on_unknown_submission
      )
      SELECT id, "projectId", "batchId", "customId", model, prompt, size, seconds, "inputReference",
        priority, metadata, "webhookUrl", "idempotencyKey", "idempotencyHash", "retryOf",
        coalesce(
          "onUnknownSubmission",
          (SELECT on_unknown_submission FROM projects WHERE projects.id = wish."projectId")
        )
      -- As one text: an array for each column costs more here and there.
      FROM ROWS
      FROM (
        json_to_recordset(${JSON.stringify(rows)}::text::json) AS (
          id text, "projectId" text, "batchId" text, "customId" text, model text, prompt text,
          size text, seconds int, "inputReference" jsonb, priority int, metadata jsonb,
          "webhookUrl" text, "idempotencyKey" text, "idempotencyHash" text, "retryOf" text,
          "onUnknownSubmission" unknown_submission_policy
        )
      )
      WITH ORDINALITY AS wish (
        id, "projectId", "batchId", "customId", model, prompt, size, seconds, "inputReference",
        priority, metadata, "webhookUrl", "idempotencyKey", "idempotencyHash", "retryOf",
        "onUnknownSubmission", number
      ) ${isAlive}
      ORDER BY wish.number
      ON CONFLICT (project_id, idempotency_key)
      WHERE idempotency_key IS NOT NULL DO NOTHING
      RETURNING id, project_id, created_at, on_unknown_submission
    ), recorded AS (
      INSERT INTO events (id, project_id, generation_id, sequence, type, data)
      -- A TypeID's suffix is unique by itself, so the first event shares its generation's.
      SELECT 'evt' || substr(id, 4), project_id, id, 1, 'generation.queued', '{"status":"queued"}'
      FROM accepted
    )
    SELECT id, created_at AS "createdAt", on_unknown_submission::text AS "onUnknownSubmission"
    FROM accepted`
  return new Map(inserted.map(({ id, ...stored }) => [id, stored]))
}

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
    const rows = await prisma.$queryRaw<{ id: string }[]>`
      SELECT id
      FROM generations
      WHERE project_id = ${projectId}
        AND ${isStatus(status)} ${batchId ? Prisma.sql`AND batch_id = ${batchId}` : Prisma.empty}
          ${customId ? Prisma.sql`AND custom_id = ${customId}` : Prisma.empty}
          ${before ? Prisma.sql`AND id < ${before}` : Prisma.empty}
      ORDER BY id DESC
      LIMIT ${limit}`
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
  const rows = await prisma.$queryRaw<{ id: string }[]>`
    SELECT id
    FROM generations
    WHERE id = ANY (${ids}::text[])
      AND status = ANY (${TERMINAL_STATUSES}::text[]::generation_status[])`
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
  const [row] = await prisma.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count
    FROM (
      SELECT 1
      FROM generations
      WHERE project_id = ${projectId} AND status = 'queued' AND admitted_at IS NULL
      LIMIT ${upTo}
    ) AS waiting`
  return row?.count ?? 0
}
