// The single row of `ledgers`: when workers last used this database, and the identity of the database. Also the facts
// that reveal a restored copy.

import type { LedgerIdentity } from '../../domain/ledger.ts'
import type { Database } from '../database.ts'
import { sql } from '../sql.ts'

export interface LedgerRow {
  /** Null before the first worker. */
  readonly id: string | null
  readonly aliveAtMs: number | null
  readonly nowMs: number
  readonly hasStopped: boolean
  readonly recorded: LedgerIdentity | null
  readonly present: LedgerIdentity
  readonly newestSubmission: string | null
  /** Generations that would be submitted, counted up to a bound. */
  readonly waiting: number
}

const WAITING_MAX = 1_000
/** The facts, in one statement. A fact in `present` is null when the user may not read it. */
const LEDGER = `
  SELECT id, floor(extract(epoch FROM alive_at) * 1000)::float8 AS "aliveAtMs",
    floor(extract(epoch FROM clock_timestamp()) * 1000)::float8 AS "nowMs",
    stopped_at IS NOT NULL AS "hasStopped", identity AS recorded,
    jsonb_build_object(
      'system', CASE WHEN has_function_privilege('pg_control_system()', 'EXECUTE')
        THEN (SELECT system_identifier::text FROM pg_control_system()) END,
      'database', (SELECT oid::text FROM pg_database WHERE datname = current_database()),
      'table', to_regclass('public.ledgers')::oid::text,
      'timeline', CASE WHEN has_function_privilege('pg_control_checkpoint()', 'EXECUTE')
        THEN (SELECT timeline_id FROM pg_control_checkpoint()) END) AS present,
    (SELECT max(id) FROM submissions) AS "newestSubmission",
    (SELECT count(*)::int FROM (SELECT 1 FROM generations WHERE status IN ('queued', 'submitting') LIMIT ${WAITING_MAX}) AS counted) AS waiting
  FROM ledgers WHERE one = 1`

/** Reads the row and the facts around the row. */
export async function readLedger({ prisma }: Database): Promise<LedgerRow> {
  const [row] = await prisma.$queryRawUnsafe<LedgerRow[]>(LEDGER)
  if (!row) throw new Error('the table ledgers has lost its row')
  return row
}

/** Whether the database has this submission. */
export async function hasSubmission({ prisma }: Database, id: string): Promise<boolean> {
  const [row] = await prisma.$queryRaw<{ has: boolean }[]>(
    sql.named('hasSubmission')`SELECT EXISTS (SELECT 1 FROM submissions WHERE id = ${id}) AS has`,
  )
  return row?.has ?? false
}

/**
 * A worker begins to use this database: from now on this database is the latest. @returns the new sign of life, in ms
 * since 1970
 */
export async function adoptLedger({ prisma }: Database, id: string, identity: LedgerIdentity): Promise<number> {
  const [row] = await prisma.$queryRaw<{ aliveAtMs: number }[]>(sql.named('adoptLedger')`
    UPDATE ledgers
    SET id = ${id}, identity = ${JSON.stringify(identity)}::jsonb, stopped_at = NULL,
      alive_at = greatest(clock_timestamp(), alive_at)
    WHERE one = 1
    RETURNING floor(extract(epoch FROM alive_at) * 1000)::float8 AS "aliveAtMs"`)
  return row?.aliveAtMs ?? 0
}

/** Writes a sign of life; one of several workers is enough. `stopped`: the last sign of life of this worker. */
export async function beatLedger({ prisma }: Database, everyMs: number, stopped: boolean): Promise<void> {
  await prisma.$executeRaw(sql.named('beatLedger')`
    UPDATE ledgers
    SET alive_at = greatest(clock_timestamp(), alive_at),
      stopped_at = CASE WHEN ${stopped} THEN clock_timestamp() END
    WHERE one = 1 AND (${stopped} OR alive_at < clock_timestamp() - ${everyMs} * interval '1 ms')`)
}

/** The facts that a mark outside the database keeps. Two index lookups. */
export async function ledgerState({ prisma }: Database) {
  const [row] = await prisma.$queryRaw<
    { id: string | null; aliveAtMs: number | null; submission: string | null }[]
  >(sql.named('ledgerState')`
    SELECT id, floor(extract(epoch FROM alive_at) * 1000)::float8 AS "aliveAtMs",
      (SELECT max(id) FROM submissions) AS submission
    FROM ledgers
    WHERE one = 1`)
  return row ?? { id: null, aliveAtMs: null, submission: null }
}
