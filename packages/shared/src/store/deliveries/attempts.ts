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
export type DeliveryDecision =
  | { readonly state: 'succeeded' }
  | { readonly state: 'pending'; readonly retryMs: number }
  | { readonly state: 'failed' }

/** A finished attempt with its outcome. */
export interface FinishedAttempt {
  readonly attempt: AttemptRecord
  readonly decision: DeliveryDecision
}

/**
 * Logs attempts and records their outcomes in one statement. A success ends the delivery even when its lease was lost.
 * A failure counts only for the attempt under way, and not after a redelivery.
 * @returns for each attempt whether it is recorded: not when another transaction locks the delivery, or an earlier
 * attempt in `finished` has the same delivery
 */
export async function recordAttempts(database: Database, finished: readonly FinishedAttempt[]): Promise<boolean[]> {
  const firsts = finished.filter((one, index) => finished.findIndex((other) => isSameDelivery(one, other)) === index)
  const recorded = await withRetry(() => record(database, firsts, Prisma.sql`SKIP LOCKED`))
  return finished.map((one) => firsts.includes(one) && recorded.has(one.attempt.deliveryId))
}

const isSameDelivery = (one: FinishedAttempt, other: FinishedAttempt) =>
  one.attempt.deliveryId === other.attempt.deliveryId

/** Records one attempt, and waits for a locked row. */
export async function recordAttempt(database: Database, finished: FinishedAttempt): Promise<void> {
  const recorded = await withRetry(() => record(database, [finished], Prisma.empty))
  if (recorded.size === 0) throw new Error(`there is no delivery ${finished.attempt.deliveryId}`)
}

async function record(
  { prisma }: Database,
  finished: readonly FinishedAttempt[],
  wait: Prisma.Sql,
): Promise<Set<string>> {
  const of = <T>(read: (attempt: AttemptRecord) => T) => finished.map((one) => read(one.attempt))
  const ids = of((attempt) => attempt.deliveryId)
  const numbers = of((attempt) => attempt.attempt)
  const retryMs = finished.map(({ decision }) => (decision.state === 'pending' ? decision.retryMs : null))
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
    ), decided AS (
      UPDATE deliveries
      SET state = decision.state, next_attempt_at = now() + decision.retry_ms * interval '1 ms',
        due_at = now() + decision.retry_ms * interval '1 ms',
        finished_at = CASE WHEN decision.state <> 'pending' THEN now() END
      FROM unnest(
        ${ids}::text[], ${numbers}::int[],
        ${finished.map((one) => one.decision.state)}::text[]::delivery_state[], ${retryMs}::float8[]
      ) AS decision (id, number, state, retry_ms)
      WHERE deliveries.id = ANY (ARRAY(SELECT id FROM free))
        AND deliveries.id = decision.id
        AND deliveries.state = 'pending'
        AND (
          decision.state = 'succeeded'
          OR (attempts = decision.number AND attempts_before < decision.number)
        )
    )
    SELECT id
    FROM free`)
  return new Set(rows.map((row) => row.id))
}
