// What the upstream's answers do to the gate.

import { FAILURES_MAX } from '../../domain/gate-signal.ts'
import type { UpstreamModels } from '../../domain/upstream-models.ts'
import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'
import { NO_REFUSAL } from './submitting-gate.ts'

/** SQL condition: an acceptance by the upstream is worth noting. */
export const isAfterTrouble = (upstream: string) => Prisma.sql`
  EXISTS (
    SELECT 1
    FROM upstream_gates
    WHERE upstream = ${upstream} AND (silences > 0 OR account_retry_at IS NOT NULL)
  )`

const GIVE_BACK_PAGE = 500

/**
 * Counts a submission without an answer. Up to `FAILURES_MAX`, unanswered submissions in a row count. Beyond, only
 * submissions count that were tried after the gate had closed (`isAfterFailure`); submissions already under way do not
 * count.
 * @param weight how much the submission counts, up to `FAILURES_MAX`
 * @returns whether the submission closed the gate
 */
export async function noteFailure(
  { prisma }: Database,
  upstream: string,
  isAfterFailure: boolean,
  weight: number,
): Promise<boolean> {
  await prisma.$executeRaw(sql.named('addGateOfFailure')`
    INSERT INTO upstream_gates (upstream)
    VALUES (${upstream})
    ON CONFLICT DO NOTHING`)
  const [row] = await prisma.$queryRaw<{ closed: boolean }[]>(sql.named('noteFailure')`
    WITH before AS (
      SELECT upstream, silences
      FROM upstream_gates
      WHERE upstream = ${upstream}
        AND unreachable_since IS NULL
        AND (silences < ${FAILURES_MAX} OR ${isAfterFailure})
      FOR UPDATE
    )
    UPDATE upstream_gates gate
    SET silences = CASE
        WHEN before.silences >= ${FAILURES_MAX} THEN before.silences + 1
        ELSE least(${FAILURES_MAX}, before.silences + ${weight}::int)
      END,
      unreachable_since = CASE
        WHEN before.silences + ${weight}::int >= ${FAILURES_MAX} THEN now()
      END
    FROM before
    WHERE gate.upstream = before.upstream
    RETURNING gate.unreachable_since IS NOT NULL AS closed`)
  return row?.closed ?? false
}

/**
 * Half-open: the provider answered a free request. Submissions may try, and one more silence closes the gate again.
 * @returns whether this call opened the gate, and not another worker before
 */
export async function openHalf({ prisma }: Database, upstream: string): Promise<boolean> {
  const opened = await prisma.$executeRaw(sql.named('openHalf')`
    UPDATE upstream_gates
    SET unreachable_since = NULL
    WHERE upstream = ${upstream} AND unreachable_since IS NOT NULL`)
  return opened > 0
}

/** The provider answered a submission: the count of silences starts again, and a gate closed by silence is open. */
export async function noteAnswer({ prisma }: Database, upstream: string): Promise<void> {
  await prisma.$executeRaw(sql.named('noteAnswer')`
    UPDATE upstream_gates
    SET silences = 0, unreachable_since = NULL
    WHERE upstream = ${upstream} AND silences > 0`)
}

/**
 * After an outage the provider accepts again, so the provider is not full: slots kept for unknown outcomes of the
 * outage are given back, in pages. The rows stay as they are, and are never submitted again without a request.
 */
async function giveBackSlots(database: Database, models: readonly string[]): Promise<void> {
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE slot_until > now()
      AND slot_until IS NOT NULL
      AND error_code = 'submission_unknown'
      AND model = ANY (${models}::text[])
      AND ${isStorable('generations.id')} ${among}
    ORDER BY id
    LIMIT ${GIVE_BACK_PAGE}
    FOR UPDATE SKIP LOCKED`
  const giveBack = (picked: Prisma.Sql) =>
    database.prisma.$queryRaw<unknown[]>(sql.named('giveBackSlots')`
      UPDATE generations
      SET slot_until = NULL
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING 1`)
  // A short page may only lack unstorable rows.
  while ((await claimStorable(database, 'admit', pick, giveBack)).length > 0);
}

/** The provider accepted a submission: a gate closed by refusals is open, unless a refusal has just closed the gate. */
export async function noteAcceptance(database: Database, { name: upstream, models }: UpstreamModels): Promise<void> {
  const [gate] = await database.prisma.$queryRaw<{ failures: number }[]>(sql.named('readSilences')`
    SELECT silences AS failures
    FROM upstream_gates
    WHERE upstream = ${upstream}`)
  await noteAnswer(database, upstream)
  // With fewer silences there was no outage, and submissions with an unknown outcome may well be rendering.
  if ((gate?.failures ?? 0) >= FAILURES_MAX) await giveBackSlots(database, models)
  await database.prisma.$executeRaw(sql.named('noteAcceptance')`
    UPDATE upstream_gates
    SET ${NO_REFUSAL}
    WHERE upstream = ${upstream} AND account_retry_at <= now()`)
}
