// The pages that carry out the mark of a batch.

import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { hasOther, LEASE, MARKED, QUEUED, some, UNDER_WAY } from './batch-changes.ts'
import { type ChangeCursor, type ChangedPage, cancelPage, priorityPage, STORABLE } from './batch-pages.ts'

interface RequestedChange {
  readonly cancelRequestedAt: Date | null
  readonly cancelRendering: boolean
  readonly wantedPriority: number | null
}

/**
 * Carries out one page of a mark, and removes the mark when nothing is left. An unstorable row is noted and skipped,
 * and the mark stays for the row.
 * @param renderMaxMs see `cancelGeneration`
 */
export async function changePage(
  database: Database,
  batchId: string,
  cursor: ChangeCursor,
  renderMaxMs: number,
): Promise<ChangedPage> {
  const [change] = await database.prisma.$queryRaw<RequestedChange[]>(sql.named('renewChangeLease')`
    UPDATE batches
    SET change_until = ${LEASE}
    WHERE id = ${batchId} AND ${MARKED}
    RETURNING cancel_requested_at AS "cancelRequestedAt", cancel_rendering AS "cancelRendering",
      wanted_priority AS "wantedPriority"`)
  if (!change) return { changed: 0, moved: [], after: null, isOver: true }
  const page = change.cancelRequestedAt
    ? await cancelPage(database, batchId, cursor, change.cancelRendering ? renderMaxMs : null)
    : await priorityPage(database, batchId, cursor, change.wantedPriority ?? 0)
  if (page.after !== null) return { ...page, isOver: false }
  return { ...page, isOver: (await takeOff(database, batchId, change)) || (await isRefused(database, batchId)) }
}

/** Whether all rows left by the present mark are unstorable and must not be tried yet. */
async function isRefused({ prisma }: Database, batchId: string): Promise<boolean> {
  const left = Prisma.sql`
    generations.batch_id = batches.id
    AND generations.status IN ('queued', 'submitting', 'processing')
    AND CASE
      WHEN generations.status <> 'queued'
        THEN batches.cancel_rendering AND generations.cancel_requested_at IS NULL
      ELSE batches.cancel_requested_at IS NOT NULL
        OR admitted_at IS NULL AND priority <> batches.wanted_priority
    END`
  const rows = await prisma.$queryRaw<unknown[]>(sql.named('isChangeRefused')`
    SELECT 1
    FROM batches
    WHERE id = ${batchId} AND ${some(left)} AND NOT ${some(Prisma.sql`${left} AND ${STORABLE}`)}`)
  return rows.length > 0
}

/** Removes the mark, unless rows are left or a new request has changed the mark. */
async function takeOff({ prisma }: Database, batchId: string, change: RequestedChange): Promise<boolean> {
  const { cancelRequestedAt, cancelRendering, wantedPriority } = change
  const taken = cancelRequestedAt
    ? await prisma.$executeRaw(sql.named('takeOffCancel')`
      UPDATE batches
      SET cancel_requested_at = NULL, cancel_rendering = false, wanted_priority = NULL,
        change_until = NULL
      WHERE id = ${batchId}
        AND cancel_requested_at = ${cancelRequestedAt}
        AND cancel_rendering = ${cancelRendering}
        AND NOT ${some(QUEUED)}
        AND NOT (cancel_rendering AND ${some(UNDER_WAY)})`)
    : await prisma.$executeRaw(sql.named('takeOffPriority')`
      UPDATE batches
      SET wanted_priority = NULL, change_until = NULL
      WHERE id = ${batchId}
        AND cancel_requested_at IS NULL
        AND wanted_priority = ${wantedPriority}
        AND NOT ${some(hasOther(wantedPriority ?? 0))}`)
  return taken === 1
}
