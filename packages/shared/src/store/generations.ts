// Accepting and reading generations. Everything here is an index lookup, whatever the history's size.

import type { Status } from '../domain/status.ts'
import { TERMINAL_STATUSES } from '../domain/status.ts'
import type { Database, Sql } from './database.ts'
import type { Event, Generation, Prisma } from './generated/client.ts'

export type { Event, Generation }

/** A validated request, in normal form. */
export interface NewGeneration {
  readonly id: string
  readonly projectId: string
  readonly batchId: string | null
  /** The failed generation of another batch that it tries again. */
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
  readonly onUnknownSubmission: 'fail' | 'resubmit'
  readonly idempotencyKey: string | null
  readonly idempotencyHash: string | null
}

/**
 * Inserts generations with their first events in one statement.
 * @returns when each was created, by id: those whose idempotency key is taken are left out
 */
export async function insertGenerations(sql: Sql, rows: readonly NewGeneration[]): Promise<Map<string, Date>> {
  const column = <K extends keyof NewGeneration>(name: K) => rows.map((row) => row[name])
  const json = (name: 'inputReference' | 'metadata') =>
    rows.map((row) => (row[name] ? JSON.stringify(row[name]) : null))
  const inserted = await sql.$queryRaw<{ id: string; createdAt: Date }[]>`
    WITH accepted AS (
      INSERT INTO generations (id, project_id, batch_id, custom_id, model, prompt, size, seconds, input_reference, priority,
        metadata, webhook_url, on_unknown_submission, idempotency_key, idempotency_hash, retry_of)
      SELECT * FROM unnest(${column('id')}::text[], ${column('projectId')}::text[], ${column('batchId')}::text[],
        ${column('customId')}::text[], ${column('model')}::text[], ${column('prompt')}::text[], ${column('size')}::text[],
        ${column('seconds')}::int[], ${json('inputReference')}::jsonb[], ${column('priority')}::int[],
        ${json('metadata')}::jsonb[], ${column('webhookUrl')}::text[],
        ${column('onUnknownSubmission')}::text[]::unknown_submission_policy[],
        ${column('idempotencyKey')}::text[], ${column('idempotencyHash')}::text[], ${column('retryOf')}::text[])
      ON CONFLICT (project_id, idempotency_key) WHERE idempotency_key IS NOT NULL DO NOTHING
      RETURNING id, project_id, created_at
    ), recorded AS (
    INSERT INTO events (id, project_id, generation_id, sequence, type, data)
    -- A TypeID's suffix is unique by itself, so the first event shares its generation's.
    SELECT 'evt' || substr(id, 4), project_id, id, 1, 'generation.queued', '{"status":"queued"}' FROM accepted
    )
    SELECT id, created_at AS "createdAt" FROM accepted`
  return new Map(inserted.map((row) => [row.id, row.createdAt]))
}

/** The generation that this key created, read in a statement of its own after a lost race. */
export async function findByIdempotencyKey(
  { prisma }: Database,
  projectId: string,
  key: string,
): Promise<Generation | null> {
  return await prisma.generation.findFirst({ where: { projectId, idempotencyKey: key } })
}

/** One generation of the project, or null: another project's id is as unknown as no id. */
export async function findGeneration({ prisma }: Database, projectId: string, id: string): Promise<Generation | null> {
  return await prisma.generation.findFirst({ where: { id, projectId } })
}

/** The generation that an event is about, whatever its project. */
export async function readGeneration({ prisma }: Database, id: string): Promise<Generation> {
  return await prisma.generation.findUniqueOrThrow({ where: { id } })
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
    ...(status && { status }),
    ...(batchId && { batchId }),
    ...(customId && { customId }),
    ...(before && { id: { lt: before } }),
  }
  return await prisma.generation.findMany({ where, orderBy: { id: 'desc' }, take: limit })
}

/** Those of `ids` that have ended: one query serves every request that waits. */
export async function endedAmong({ prisma }: Database, ids: readonly string[]): Promise<string[]> {
  const rows = await prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM generations
    WHERE id = ANY (${ids}::text[]) AND status = ANY (${TERMINAL_STATUSES}::text[]::generation_status[])`
  return rows.map((row) => row.id)
}

/** A generation's timeline, oldest first. At most `limit` events; `after` is the sequence to go on from. */
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

/** How many generations of a project wait for a slot, counted up to `upTo`. */
export async function countWaiting({ prisma }: Database, projectId: string, upTo: number): Promise<number> {
  const [row] = await prisma.$queryRaw<{ count: number }[]>`
    SELECT count(*)::int AS count FROM (
      SELECT 1 FROM generations WHERE project_id = ${projectId} AND status = 'queued' AND admitted_at IS NULL LIMIT ${upTo}) AS waiting`
  return row?.count ?? 0
}
