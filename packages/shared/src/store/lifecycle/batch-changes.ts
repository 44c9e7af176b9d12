// Cancelling a batch, and changing its priority. A change may concern fifty thousand rows, so it is not one statement:
// the request commits a mark on the batch's row, and pages with their own commits carry the mark out. From the mark on,
// no generation of a cancelled batch is admitted or submitted, even before its page. A page skips locked rows; a later
// page takes them. The process that carries out a mark holds a lease. Reconcile takes over a mark without a lease.

import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'

/** Longer than a page and the wait for its turn: a process without a sign of life for so long has died. */
const LEASE_MS = 15_000

export const LEASE = Prisma.sql`now() + ${LEASE_MS} * interval '1 ms'`

export const MARKED = Prisma.sql`(cancel_requested_at IS NOT NULL OR wanted_priority IS NOT NULL)`

const FREE = Prisma.sql`(change_until IS NULL OR change_until < now())`

/**
 * SQL condition: the generation `g` waits for the page that cancels `g`, so `g` must not be submitted or resubmitted.
 */
export const BEING_CANCELLED = Prisma.sql`
  EXISTS (
    SELECT 1
    FROM batches
    WHERE batches.id = g.batch_id
      AND batches.cancel_requested_at IS NOT NULL
      AND (g.status = 'queued' OR batches.cancel_rendering)
  )`

export const QUEUED = Prisma.sql`batch_id = batches.id AND status = 'queued'`

export const UNDER_WAY = Prisma.sql`
  batch_id = batches.id AND status IN ('submitting', 'processing') AND cancel_requested_at IS NULL`

export const hasOther = (priority: number) => Prisma.sql`
  ${QUEUED} AND admitted_at IS NULL AND priority <> ${priority}`

export const some = (which: Prisma.Sql) => Prisma.sql`
  EXISTS (SELECT 1 FROM generations WHERE ${which})`

/**
 * Marks a batch as cancelled: its queued generations, and with `rendering` also generations being submitted or
 * rendered.
 * @returns false when there is nothing to cancel
 */
export async function markCancelled({ prisma }: Database, batchId: string, rendering: boolean): Promise<boolean> {
  // Always a new moment: a request that comes while an earlier request is ending keeps the mark on the row.
  const marked = await prisma.$executeRaw(sql.named('markCancelled')`
    UPDATE batches
    SET cancel_requested_at = clock_timestamp(), cancel_rendering = cancel_rendering OR ${rendering}
    WHERE id = ${batchId} AND (${some(QUEUED)} OR ${rendering} AND ${some(UNDER_WAY)})`)
  return marked === 1
}

/**
 * Marks the generations that wait for admission for another priority. @returns false when all have the priority already
 */
export async function markPriority({ prisma }: Database, batchId: string, priority: number): Promise<boolean> {
  const marked = await prisma.$executeRaw(sql.named('markPriority')`
    UPDATE batches
    SET wanted_priority = CASE WHEN ${some(hasOther(priority))} THEN ${priority}::int END
    WHERE id = ${batchId} AND (wanted_priority IS NOT NULL OR ${some(hasOther(priority))})`)
  return marked === 1
}

export async function isChanging({ prisma }: Database, batchId: string): Promise<boolean> {
  const rows = await prisma.$queryRaw<unknown[]>(sql.named('isChanging')`
    SELECT 1
    FROM batches
    WHERE id = ${batchId} AND ${MARKED}`)
  return rows.length > 0
}

/** A batch whose mark the caller must carry out. */
export interface ClaimedChange {
  readonly batchId: string
  readonly projectId: string
}

/** One batch, or any batch except some. */
export type WhichChange = { readonly batchId: string } | { readonly not: readonly string[] }

/** Takes the lease of a marked batch; null when another process has the lease, or no batch is marked. */
export async function claimChange(database: Database, which: WhichChange): Promise<ClaimedChange | null> {
  const isMeant = 'batchId' in which ? Prisma.sql`id = ${which.batchId}` : Prisma.sql`id <> ALL (${which.not}::text[])`
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM batches
    WHERE ${MARKED} AND ${FREE} AND ${isMeant} AND ${isStorable('batches.id')} ${among}
    -- Of a project for which nobody works, if there is one.
    ORDER
    BY EXISTS (
        SELECT 1
        FROM batches other
        WHERE other.project_id = batches.project_id
          AND other.change_until > now()
          AND (other.cancel_requested_at IS NOT NULL OR other.wanted_priority IS NOT NULL)
      ),
      id
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED`
  const [row] = await claimStorable(database, 'claim', pick, (picked) =>
    database.prisma.$queryRaw<ClaimedChange[]>(sql.named('claimChange')`
      UPDATE batches
      SET change_until = ${LEASE}
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING id AS "batchId", project_id AS "projectId"`),
  )
  return row ?? null
}

/** Returns the lease early: another process may go on at once. */
export async function releaseChange({ prisma }: Database, batchId: string): Promise<void> {
  await prisma.$executeRaw(sql.named('releaseChange')`
    UPDATE batches
    SET change_until = NULL
    WHERE id = ${batchId}`)
}
