// Accepting and reading generations. Every access is an index lookup, for any size of the history.

import { type Database, type Sql, withRetry } from '../database.ts'
import { type Event, type Generation, Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

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
export interface AcceptRequest {
  readonly row: NewGeneration
  readonly keyHash: string
}

/** The values that Postgres adds to a stored row. */
export interface Stored {
  readonly createdAt: Date
  readonly onUnknownSubmission: 'fail' | 'resubmit'
}

/**
 * Accepts concurrent requests in one statement and one commit. The results are in the order of `requests`.
 * @returns null when the idempotency key is taken or the API key is not valid
 */
export async function acceptGenerations(
  { prisma }: Database,
  requests: readonly AcceptRequest[],
): Promise<(Stored | null)[]> {
  // Sorted by idempotency key, so that two processes do not wait for each other's keys. A remaining deadlock is
  // retried.
  const sorted = requests.toSorted((one, other) => {
    if (keyOf(one) === keyOf(other)) return 0
    return keyOf(one) < keyOf(other) ? -1 : 1
  })
  const rows = sorted.map((request) => request.row)
  const stored = await withRetry(() =>
    insertGenerations(
      prisma,
      rows,
      sorted.map((request) => request.keyHash),
    ),
  )
  return requests.map(({ row }) => stored.get(row.id) ?? null)
}

const keyOf = ({ row }: AcceptRequest) => row.idempotencyKey ?? ''

/**
 * Inserts generations with their first events in one statement. A missing policy for unknown submissions comes from the
 * project.
 * @param keyHashes the hash of each row's API key, when the key must be valid
 * @returns the stored values by id, without rows whose idempotency key is taken
 */
export async function insertGenerations(
  tx: Sql,
  rows: readonly NewGeneration[],
  keyHashes?: readonly string[],
): Promise<Map<string, Stored>> {
  const isAlive = keyHashes
    ? Prisma.sql`
      WHERE EXISTS (
        SELECT 1
        FROM api_keys
        WHERE api_keys.hash = (${keyHashes}::text[])[request.number] AND revoked_at IS NULL
      )`
    : Prisma.empty
  const inserted = await tx.$queryRaw<(Stored & { id: string })[]>(sql.named('insertGenerations', 'prepared')`
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
          (SELECT on_unknown_submission FROM projects WHERE projects.id = request."projectId")
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
      WITH ORDINALITY AS request (
        id, "projectId", "batchId", "customId", model, prompt, size, seconds, "inputReference",
        priority, metadata, "webhookUrl", "idempotencyKey", "idempotencyHash", "retryOf",
        "onUnknownSubmission", number
      ) ${isAlive}
      ORDER BY request.number
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
    FROM accepted`)
  return new Map(inserted.map(({ id, ...stored }) => [id, stored]))
}
