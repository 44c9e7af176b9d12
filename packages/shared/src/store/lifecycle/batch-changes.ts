// Cancelling a batch, and changing its priority. A change may concern fifty thousand rows, so it is not one statement:
// the request commits a mark on the batch's row, and pages with their own commits carry the mark out. From the mark on,
// no generation of a cancelled batch is admitted or submitted, even before its page. A page skips locked rows; a later
// page takes them. The process that carries out a mark holds a lease. Reconcile takes over a mark without a lease.

import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { claimStorable, isStorable } from '../unstorable.ts'
import { cancelLocked } from './cancellation.ts'
import { type Moved, moveGenerations } from './moves.ts'

/** Longer than a page and the wait for its turn: a process without a sign of life for so long has died. */
const LEASE_MS = 15_000
const LEASE = Prisma.sql`now() + ${LEASE_MS} * interval '1 ms'`

const MARKED = Prisma.sql`(cancel_requested_at IS NOT NULL OR wanted_priority IS NOT NULL)`
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

const QUEUED = Prisma.sql`batch_id = batches.id AND status = 'queued'`
const UNDER_WAY = Prisma.sql`
  batch_id = batches.id AND status IN ('submitting', 'processing') AND cancel_requested_at IS NULL`
const hasOther = (priority: number) => Prisma.sql`
  ${QUEUED} AND admitted_at IS NULL AND priority <> ${priority}`
/**
 * The queued generations of a batch after a given generation, in order. The condition names all columns of
 * `generations_batch_status_idx`. With `id` alone, the planner could take the order from the primary key and read all
 * rows that are older than the batch.
 */
const queuedBehind = (batchId: string, after: string) => Prisma.sql`
  batch_id IS NOT NULL
  AND (batch_id, status, id) > (${batchId}, 'queued'::generation_status, ${after})
  AND (batch_id, status) <= (${batchId}, 'queued'::generation_status)`
const IN_ORDER = Prisma.sql`ORDER BY batch_id, status, id`
/**
 * Like `isStorable`, but read once for the statement: a check for each row would keep the planner from the index in
 * this order.
 */
const STORABLE = Prisma.sql`
  generations.id <> ALL (
    ARRAY(SELECT unstorable_rows.id FROM unstorable_rows WHERE retry_at > now() LIMIT 1000)
  )`
const some = (which: Prisma.Sql) => Prisma.sql`EXISTS (SELECT 1 FROM generations WHERE ${which})`

/**
 * Marks a batch as cancelled: its queued generations, and with `rendering` also generations being submitted or
 * rendered.
 * @returns false when there is nothing to cancel
 */
export async function markCancelled({ prisma }: Database, batchId: string, rendering: boolean): Promise<boolean> {
  // Always a new moment: a request that comes while an earlier request is ending keeps the mark on the row.
  const marked = await prisma.$executeRaw`
    UPDATE batches
    SET cancel_requested_at = clock_timestamp(), cancel_rendering = cancel_rendering OR ${rendering}
    WHERE id = ${batchId} AND (${some(QUEUED)} OR ${rendering} AND ${some(UNDER_WAY)})`
  return marked === 1
}

/**
 * Marks the generations that wait for admission for another priority. @returns false when all have the priority already
 */
export async function markPriority({ prisma }: Database, batchId: string, priority: number): Promise<boolean> {
  const marked = await prisma.$executeRaw`
    UPDATE batches
    SET wanted_priority = CASE WHEN ${some(hasOther(priority))} THEN ${priority}::int END
    WHERE id = ${batchId} AND (wanted_priority IS NOT NULL OR ${some(hasOther(priority))})`
  return marked === 1
}

export async function isChanging({ prisma }: Database, batchId: string): Promise<boolean> {
  const rows = await prisma.$queryRaw<unknown[]>`
    SELECT 1
    FROM batches
    WHERE id = ${batchId} AND ${MARKED}`
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
  const isMeant =
    'batchId' in which
      ? Prisma.sql`
        id = ${which.batchId}`
      : Prisma.sql`id <> ALL (${which.not}::text[])`
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
  const [row] = await claimStorable(
    database,
    'claim',
    pick,
    (picked) => database.prisma.$queryRaw<ClaimedChange[]>`
      UPDATE batches
      SET change_until = ${LEASE}
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING id AS "batchId", project_id AS "projectId"`,
  )
  return row ?? null
}

/** Returns the lease early: another process may go on at once. */
export async function releaseChange({ prisma }: Database, batchId: string): Promise<void> {
  await prisma.$executeRaw`UPDATE batches SET change_until = NULL WHERE id = ${batchId}`
}

/** The start of the next page, and the maximum number of its rows. */
export interface ChangeCursor {
  readonly after: string
  readonly rows: number
}

export interface ChangedPage {
  readonly changed: number
  readonly moved: readonly Moved[]
  /** The row after which the next page begins; null at the end of the batch. */
  readonly after: string | null
  /**
   * Nothing is left to do: the mark is gone, or stays for unstorable rows, which are tried again after the lease. False
   * at the end of the batch while other transactions lock rows of the batch.
   */
  readonly isOver: boolean
}

interface Wish {
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
  const [wish] = await database.prisma.$queryRaw<Wish[]>`
    UPDATE batches
    SET change_until = ${LEASE}
    WHERE id = ${batchId} AND ${MARKED}
    RETURNING cancel_requested_at AS "cancelRequestedAt", cancel_rendering AS "cancelRendering",
      wanted_priority AS "wantedPriority"`
  if (!wish) return { changed: 0, moved: [], after: null, isOver: true }
  const page = wish.cancelRequestedAt
    ? await cancelPage(database, batchId, cursor, wish.cancelRendering ? renderMaxMs : null)
    : await priorityPage(database, batchId, cursor, wish.wantedPriority ?? 0)
  if (page.after !== null) return { ...page, isOver: false }
  return { ...page, isOver: (await takeOff(database, batchId, wish)) || (await isRefused(database, batchId)) }
}

/** @param renderMaxMs null: generations being submitted or rendered go on */
async function cancelPage(
  database: Database,
  batchId: string,
  { after, rows }: ChangeCursor,
  renderMaxMs: number | null,
): Promise<Omit<ChangedPage, 'isOver'>> {
  const { prisma } = database
  const set = Prisma.sql`due_at = NULL`
  const queued = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE ${queuedBehind(batchId, after)} AND ${STORABLE} ${among} ${IN_ORDER}
    LIMIT ${rows}
    FOR UPDATE SKIP LOCKED`
  const moved = await claimStorable(database, 'change', queued, (picked) => {
    const first = Prisma.sql`page AS MATERIALIZED (${picked})`
    return withRetry(() =>
      moveGenerations(
        prisma,
        Prisma.sql`
          id IN (SELECT id FROM page)`,
        'cancel',
        { first, set, fanOut: 'later' },
      ),
    )
  })
  if (moved.length === rows) return { changed: rows, moved, after: lastOf(moved) }
  if (renderMaxMs === null) return { changed: moved.length, moved, after: null }
  const rendering = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE batch_id = ${batchId}
      AND status IN ('submitting', 'processing')
      AND cancel_requested_at IS NULL
      AND ${STORABLE} ${among}
    LIMIT ${rows}
    FOR UPDATE SKIP LOCKED`
  const underWay = await claimStorable(database, 'change', rendering, (picked) =>
    withRetry(() =>
      prisma.$transaction(async (tx) => {
        const locked = await tx.$queryRaw<{ id: string }[]>`${picked}`
        const ids = locked.map((row) => row.id)
        return [{ changed: ids.length, moved: await cancelLocked(tx, ids, renderMaxMs) }]
      }),
    ),
  )
  const changed = underWay.reduce((sum, part) => sum + part.changed, 0)
  const all = [...moved, ...underWay.flatMap((part) => part.moved)]
  return { changed: moved.length + changed, moved: all, after: changed === rows ? '' : null }
}

async function priorityPage(
  database: Database,
  batchId: string,
  { after, rows }: ChangeCursor,
  priority: number,
): Promise<Omit<ChangedPage, 'isOver'>> {
  const waiting = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE ${queuedBehind(batchId, after)}
      AND admitted_at IS NULL
      AND priority <> ${priority}
      AND ${STORABLE} ${among} ${IN_ORDER}
    LIMIT ${rows}
    FOR UPDATE SKIP LOCKED`
  const changed = await claimStorable(database, 'change', waiting, (picked) =>
    withRetry(
      () => database.prisma.$queryRaw<{ id: string }[]>`
        UPDATE generations
        SET priority = ${priority}
        WHERE id = ANY (ARRAY(${picked}))
        RETURNING id`,
    ),
  )
  return { changed: changed.length, moved: [], after: changed.length === rows ? lastOf(changed) : null }
}

const lastOf = (rows: readonly { readonly id: string }[]) =>
  rows
    .map((row) => row.id)
    .toSorted()
    .at(-1) ?? ''

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
  const rows = await prisma.$queryRaw<unknown[]>`
    SELECT 1
    FROM batches
    WHERE id = ${batchId} AND ${some(left)} AND NOT ${some(Prisma.sql`${left} AND ${STORABLE}`)}`
  return rows.length > 0
}

/** Removes the mark, unless rows are left or a new request has changed the mark. */
async function takeOff({ prisma }: Database, batchId: string, wish: Wish): Promise<boolean> {
  const { cancelRequestedAt, cancelRendering, wantedPriority } = wish
  const taken = cancelRequestedAt
    ? await prisma.$executeRaw`
      UPDATE batches
      SET cancel_requested_at = NULL, cancel_rendering = false, wanted_priority = NULL,
        change_until = NULL
      WHERE id = ${batchId}
        AND cancel_requested_at = ${cancelRequestedAt}
        AND cancel_rendering = ${cancelRendering}
        AND NOT ${some(QUEUED)}
        AND NOT (cancel_rendering AND ${some(UNDER_WAY)})`
    : await prisma.$executeRaw`
      UPDATE batches
      SET wanted_priority = NULL, change_until = NULL
      WHERE id = ${batchId}
        AND cancel_requested_at IS NULL
        AND wanted_priority = ${wantedPriority}
        AND NOT ${some(hasOther(wantedPriority ?? 0))}`
  return taken === 1
}
