// The one row that tells when workers last stood on this database, and on which. Beside it, what shows a restored copy.

import type { LedgerIdentity } from '../domain/ledger.ts'
import type { Database } from './database.ts'

export interface LedgerRow {
  /** Null until a worker has been here. */
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
/** What one statement asks for. `present` has null where the user may not ask. */
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

/** The row and what is around it. */
export async function readLedger({ prisma }: Database): Promise<LedgerRow> {
  const [row] = await prisma.$queryRawUnsafe<LedgerRow[]>(LEDGER)
  if (!row) throw new Error('the table ledgers has lost its row')
  return row
}

/** Whether the database has this submission, or would have forgotten it by now. */
export async function hasSubmission({ prisma }: Database, id: string): Promise<boolean> {
  const [row] = await prisma.$queryRaw<
    { has: boolean }[]
  >`SELECT EXISTS (SELECT 1 FROM submissions WHERE id = ${id}) AS has`
  return row?.has ?? false
}

/** A worker begins to stand on this database: from now on it is the latest. @returns its new sign of life, in ms since 1970 */
export async function adoptLedger({ prisma }: Database, id: string, identity: LedgerIdentity): Promise<number> {
  const [row] = await prisma.$queryRaw<{ aliveAtMs: number }[]>`
    UPDATE ledgers SET id = ${id}, identity = ${JSON.stringify(identity)}::jsonb, stopped_at = NULL,
      alive_at = greatest(clock_timestamp(), alive_at)
    WHERE one = 1 RETURNING floor(extract(epoch FROM alive_at) * 1000)::float8 AS "aliveAtMs"`
  return row?.aliveAtMs ?? 0
}

/** A sign of life; one of several workers writes it. `stopped`: the last one of this worker. */
export async function beatLedger({ prisma }: Database, everyMs: number, stopped: boolean): Promise<void> {
  await prisma.$executeRaw`
    UPDATE ledgers SET alive_at = greatest(clock_timestamp(), alive_at), stopped_at = CASE WHEN ${stopped} THEN clock_timestamp() END
    WHERE one = 1 AND (${stopped} OR alive_at < clock_timestamp() - ${everyMs} * interval '1 ms')`
}

/** What a mark outside of the database keeps of it. Two look-ups by index. */
export async function ledgerState({ prisma }: Database) {
  const [row] = await prisma.$queryRaw<{ id: string | null; aliveAtMs: number | null; submission: string | null }[]>`
    SELECT id, floor(extract(epoch FROM alive_at) * 1000)::float8 AS "aliveAtMs",
      (SELECT max(id) FROM submissions) AS submission
    FROM ledgers WHERE one = 1`
  return row ?? { id: null, aliveAtMs: null, submission: null }
}
