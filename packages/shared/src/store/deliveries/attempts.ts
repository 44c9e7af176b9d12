// The log of attempts, and the outcomes of deliveries.

import { newId } from '@reelqueue/contract/terms/ids'
import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

export interface AttemptRecord {
  readonly deliveryId: string
  readonly attempt: number
  readonly httpStatus: number | null
  readonly errorClass: string | null
  readonly message: string
  readonly replySnippet: string | null
  readonly durationMs: number
}

/** The outcome of an attempt: success, another attempt after `retryMs`, or the end without success. */
export type DeliveryVerdict =
  | { readonly state: 'succeeded' }
  | { readonly state: 'pending'; readonly retryMs: number }
  | { readonly state: 'failed' }

/** A finished attempt with its outcome. */
export interface Judged {
  readonly attempt: AttemptRecord
  readonly verdict: DeliveryVerdict
}

/**
 * Logs attempts and records their outcomes in one statement. A success ends the delivery even when its lease was lost.
 * A failure counts only for the attempt under way, and not after a redelivery.
 * @returns for each attempt whether it is recorded: not when another transaction locks the delivery, or an earlier
 * attempt in `judged` has the same delivery
 */
export async function recordAttempts(database: Database, judged: readonly Judged[]): Promise<boolean[]> {
  const firsts = judged.filter((one, index) => judged.findIndex((other) => isSameDelivery(one, other)) === index)
  const recorded = await withRetry(() => record(database, firsts, Prisma.sql`SKIP LOCKED`))
  return judged.map((one) => firsts.includes(one) && recorded.has(one.attempt.deliveryId))
}

const isSameDelivery = (one: Judged, other: Judged) => one.attempt.deliveryId === other.attempt.deliveryId

/** Records one attempt, and waits for a locked row. */
export async function recordAttempt(database: Database, judged: Judged): Promise<void> {
  const recorded = await withRetry(() => record(database, [judged], Prisma.empty))
  if (recorded.size === 0) throw new Error(`there is no delivery ${judged.attempt.deliveryId}`)
}

async function record({ prisma }: Database, judged: readonly Judged[], wait: Prisma.Sql): Promise<Set<string>> {
  const of = <T>(read: (attempt: AttemptRecord) => T) => judged.map((one) => read(one.attempt))
  const ids = of((attempt) => attempt.deliveryId)
  const numbers = of((attempt) => attempt.attempt)
  const retryMs = judged.map(({ verdict }) => (verdict.state === 'pending' ? verdict.retryMs : null))
  const rows = await prisma.$queryRaw<{ id: string }[]>(sql.named('recordAttempts', 'prepared')`
    WITH free AS (
      SELECT id
      FROM deliveries
      WHERE id = ANY (${ids}::text[])
      ORDER BY id
      FOR UPDATE ${wait}
    ), logged AS (
      INSERT INTO delivery_attempts (
        id, delivery_id, number, http_status, error_class, message, reply_snippet, duration_ms
      )
      SELECT made.*
      FROM unnest(
        ${ids.map(() => newId('attempt'))}::text[], ${ids}::text[], ${numbers}::int[],
        ${of((attempt) => attempt.httpStatus)}::int[],
        ${of((attempt) => attempt.errorClass)}::text[], ${of((attempt) => attempt.message)}::text[],
        ${of((attempt) => attempt.replySnippet)}::text[],
        ${of((attempt) => Math.round(attempt.durationMs))}::int[]
      ) AS made (
        id, delivery_id, number, http_status, error_class, message, reply_snippet, duration_ms
      )
      WHERE made.delivery_id IN (SELECT id FROM free)
      ON CONFLICT (delivery_id, number) DO NOTHING
    ), judged AS (
      UPDATE deliveries
      SET state = verdict.state, next_attempt_at = now() + verdict.retry_ms * interval '1 ms',
        due_at = now() + verdict.retry_ms * interval '1 ms',
        finished_at = CASE WHEN verdict.state <> 'pending' THEN now() END
      FROM unnest(
        ${ids}::text[], ${numbers}::int[],
        ${judged.map((one) => one.verdict.state)}::text[]::delivery_state[], ${retryMs}::float8[]
      ) AS verdict (id, number, state, retry_ms)
      WHERE deliveries.id = ANY (ARRAY(SELECT id FROM free))
        AND deliveries.id = verdict.id
        AND deliveries.state = 'pending'
        AND (
          verdict.state = 'succeeded'
          OR (attempts = verdict.number AND attempts_before < verdict.number)
        )
    )
    SELECT id
    FROM free`)
  return new Set(rows.map((row) => row.id))
}
