// The circuit breaker for certain refusals: counts equal refusals in a row, and closes the gate with the words of the
// refusal. Runs in the transaction that settles the refused submission, so that of any number in flight only a few
// fail.

import {
  ACCOUNT_RETRY_MAX_MS,
  isNobodysFault,
  REFUSAL_RETRY_MAX_MS,
  REFUSAL_RETRY_MIN_MS,
  SAME_REFUSALS_MAX,
} from '../../domain/gate-signal.ts'
import type { RefusalClass } from '../../domain/refusal.ts'
import type { Sql } from '../database.ts'
import { sql } from '../sql.ts'

export interface GateRefusal {
  readonly upstream: string
  readonly class: RefusalClass
  /** Equal for equal refusals. */
  readonly key: string
  /** The words for operators: bounded, without secrets. */
  readonly words: string
}

export interface CountedRefusal {
  /** The refusal is not about this generation; the generation waits for admission again. */
  readonly isReleased: boolean
  readonly isGateClosed: boolean
}

/**
 * Counts a refusal of a locked generation. A refusal of class account or configuration closes the gate at once and
 * fails no generation. Equal refusals of class request fail the first generations; then the gate closes, and later
 * generations are released. A generation that met the same refusal before, while other generations were accepted, is
 * itself at fault: the generation fails, and the gate stays as it is.
 */
export async function countRefusal(
  tx: Sql,
  generationId: string,
  code: string,
  refusal: GateRefusal,
): Promise<CountedRefusal> {
  if (await wasRefusedAlone(tx, generationId, code)) return { isReleased: false, isGateClosed: false }
  const { upstream, key } = refusal
  // The gate's row stays locked until the commit: concurrent refusals are counted one after another.
  const [row] = await tx.$queryRaw<{ refusals: number }[]>(sql.named('countRefusal')`
    INSERT INTO upstream_gates AS gate (upstream, refusal_key, refusals, refusals_from)
    SELECT ${upstream}, ${key}, 1, current_submission_id
    FROM generations
    WHERE id = ${generationId}
    ON CONFLICT (upstream) DO UPDATE
    SET refusals = CASE
        WHEN gate.refusal_key = excluded.refusal_key
          AND NOT EXISTS (
            -- Ids ascend with age.
            SELECT 1
            FROM submissions
            WHERE id > gate.refusals_from AND upstream = gate.upstream AND state = 'accepted'
          )
          THEN gate.refusals + 1
        ELSE 1
      END,
      refusals_from = CASE
        WHEN gate.refusal_key = excluded.refusal_key
          AND NOT EXISTS (
            SELECT 1
            FROM submissions
            WHERE id > gate.refusals_from AND upstream = gate.upstream AND state = 'accepted'
          )
          THEN gate.refusals_from
        ELSE excluded.refusals_from
      END,
      refusal_key = excluded.refusal_key
    RETURNING refusals`)
  const refusals = row?.refusals ?? 1
  const isFree = isNobodysFault(refusal.class)
  const isGateClosed = isFree || refusals >= SAME_REFUSALS_MAX
  if (isGateClosed) await close(tx, generationId, refusal)
  return { isReleased: isFree || refusals > SAME_REFUSALS_MAX, isGateClosed }
}

async function close(
  tx: Sql,
  generationId: string,
  { upstream, class: refusalClass, words }: GateRefusal,
): Promise<void> {
  const maxMs = refusalClass === 'account' ? ACCOUNT_RETRY_MAX_MS : REFUSAL_RETRY_MAX_MS
  // Submissions in flight when the gate closed do not make the wait longer.
  await tx.$executeRaw(sql.named('closeGate')`
    UPDATE upstream_gates
    SET account_refusal = ${words}, refusal_class = ${refusalClass},
      refused_project_id = (SELECT project_id FROM generations WHERE id = ${generationId}),
      refusal_closings = refusal_closings + CASE WHEN account_retry_at > now() THEN 0 ELSE 1 END,
      account_retry_at = CASE
        WHEN account_retry_at > now() THEN account_retry_at
        ELSE now()
          + least(
            ${maxMs}::float8, ${REFUSAL_RETRY_MIN_MS}::float8 * 2 ^ least(refusal_closings, 10)
          ) * interval '1 ms'
      END
    WHERE upstream = ${upstream}`)
}

/**
 * Whether the generation was refused with this code earlier in its present attempt, and a later submission of another
 * generation was accepted. Then the account is not the cause.
 */
async function wasRefusedAlone(tx: Sql, generationId: string, code: string): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ alone: boolean }[]>(sql.named('wasRefusedAlone')`
    SELECT EXISTS (
      SELECT 1
      FROM submissions mine
      JOIN generations g ON g.id = mine.generation_id AND g.attempt = mine.attempt
      WHERE mine.generation_id = ${generationId}
        AND mine.id <> g.current_submission_id
        AND mine.state = 'rejected'
        AND mine.error_code = ${code}
        AND EXISTS (
          -- Ids ascend with age.
          SELECT 1
          FROM submissions other
          WHERE other.id > mine.id
            AND other.upstream = mine.upstream
            AND other.state = 'accepted'
            AND other.generation_id <> mine.generation_id
        )
    ) AS alone`)
  return row?.alone ?? false
}
