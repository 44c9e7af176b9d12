// One page of a cancel, and one page of a new priority.

import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { claimStorable } from '../unstorable-search.ts'
import { cancelLocked } from './cancellation.ts'
import { type Moved, moveGenerations } from './moves.ts'

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
export const STORABLE = Prisma.sql`
  generations.id <> ALL (
    ARRAY(SELECT unstorable_rows.id FROM unstorable_rows WHERE retry_at > now() LIMIT 1000)
  )`

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

/** @param renderMaxMs null: generations being submitted or rendered go on */
export async function cancelPage(
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
    const ctes = Prisma.sql`page AS MATERIALIZED (${picked})`
    return withRetry(() =>
      moveGenerations(prisma, Prisma.sql`id IN (SELECT id FROM page)`, 'cancel', { ctes, set, fanOut: 'later' }),
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
        const locked = await tx.$queryRaw<{ id: string }[]>(sql.named('pickCancelPage')`${picked}`)
        const ids = locked.map((row) => row.id)
        return [{ changed: ids.length, moved: await cancelLocked(tx, ids, renderMaxMs) }]
      }),
    ),
  )
  const changed = underWay.reduce((sum, part) => sum + part.changed, 0)
  const all = [...moved, ...underWay.flatMap((part) => part.moved)]
  return { changed: moved.length + changed, moved: all, after: changed === rows ? '' : null }
}

export async function priorityPage(
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
    withRetry(() =>
      database.prisma.$queryRaw<{ id: string }[]>(sql.named('priorityPage')`
        UPDATE generations
        SET priority = ${priority}
        WHERE id = ANY (ARRAY(${picked}))
        RETURNING id`),
    ),
  )
  return { changed: changed.length, moved: [], after: changed.length === rows ? lastOf(changed) : null }
}

const lastOf = (rows: readonly { readonly id: string }[]) =>
  rows
    .map((row) => row.id)
    .toSorted()
    .at(-1) ?? ''
