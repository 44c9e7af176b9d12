// The circuit for certain refusals: counts equal ones in a row and closes the submitting gate with their words. It runs inside the
// transaction that settles the refused submission, so that of any number in flight at once only a few fail.

import {
  ACCOUNT_RETRY_MAX_MS,
  isNobodysFault,
  REFUSAL_RETRY_MAX_MS,
  REFUSAL_RETRY_MIN_MS,
  SAME_REFUSALS_MAX,
} from '../domain/gate-signal.ts'
import type { RefusalClass } from '../domain/refusal.ts'
import type { Sql } from './database.ts'

export interface GateRefusal {
  readonly upstream: string
  readonly class: RefusalClass
  /** Equal for equal refusals. */
  readonly key: string
  /** The words that operators read: bounded, without secrets. */
  readonly words: string
}

export interface CountedRefusal {
  /** The refusal is not about this generation, which waits for admission again. */
  readonly isReleased: boolean
  readonly isGateClosed: boolean
}

/**
 * Counts a refusal whose generation is locked. A refusal of account or configuration closes the gate at once and fails nothing.
 * Equal refusals of requests fail the first ones; then the gate closes, and later ones are released.
 * A generation that met this refusal before, while others were accepted, is at fault itself: it fails and closes nothing.
 */
export async function countRefusal(
  tx: Sql,
  generationId: string,
  code: string,
  refusal: GateRefusal,
): Promise<CountedRefusal> {
  if (await wasRefusedAlone(tx, generationId, code)) return { isReleased: false, isGateClosed: false }
  const { upstream, key } = refusal
  // The row stays locked until the commit: concurrent refusals are counted one after the other.
  const [row] = await tx.$queryRaw<{ refusals: number }[]>`
    INSERT INTO upstream_gates AS gate (upstream, refusal_key, refusals, refusals_from)
    SELECT ${upstream}, ${key}, 1, current_submission_id FROM generations WHERE id = ${generationId}
    ON CONFLICT (upstream) DO UPDATE SET
      refusals = CASE WHEN gate.refusal_key = excluded.refusal_key AND NOT EXISTS (
          -- Ids ascend with age.
          SELECT 1 FROM submissions WHERE id > gate.refusals_from AND state = 'accepted')
        THEN gate.refusals + 1 ELSE 1 END,
      refusals_from = CASE WHEN gate.refusal_key = excluded.refusal_key AND NOT EXISTS (
          SELECT 1 FROM submissions WHERE id > gate.refusals_from AND state = 'accepted')
        THEN gate.refusals_from ELSE excluded.refusals_from END,
      refusal_key = excluded.refusal_key
    RETURNING refusals`
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
  // Those in flight when it closed do not make the wait longer.
  await tx.$executeRaw`
    UPDATE upstream_gates SET account_refusal = ${words}, refusal_class = ${refusalClass},
      refused_project_id = (SELECT project_id FROM generations WHERE id = ${generationId}),
      refusal_closings = refusal_closings + CASE WHEN account_retry_at > now() THEN 0 ELSE 1 END,
      account_retry_at = CASE WHEN account_retry_at > now() THEN account_retry_at
        ELSE now() + least(${maxMs}::float8, ${REFUSAL_RETRY_MIN_MS}::float8 * 2 ^ least(refusal_closings, 10)) * interval '1 ms' END
    WHERE upstream = ${upstream}`
}

/**
 * Whether a generation was refused with this code before, in its present attempt, while a later submission of another one was
 * accepted: then the account is not what is wrong.
 */
async function wasRefusedAlone(tx: Sql, generationId: string, code: string): Promise<boolean> {
  const [row] = await tx.$queryRaw<{ alone: boolean }[]>`
    SELECT EXISTS (
      SELECT 1 FROM submissions mine JOIN generations g ON g.id = mine.generation_id AND g.attempt = mine.attempt
      WHERE mine.generation_id = ${generationId} AND mine.id <> g.current_submission_id
        AND mine.state = 'rejected' AND mine.error_code = ${code} AND EXISTS (
        -- Ids ascend with age.
        SELECT 1 FROM submissions other
        WHERE other.id > mine.id AND other.state = 'accepted' AND other.generation_id <> mine.generation_id)) AS alone`
  return row?.alone ?? false
}
