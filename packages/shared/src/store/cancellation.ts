// Cancelling: immediate unless a submission is open, because its outcome must be recorded first.

import { MOVES, type Status } from '../domain/status.ts'
import { completeWithin } from './completion.ts'
import { type Database, type Sql, withRetry } from './database.ts'
import { Prisma } from './generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'

export type CancelResult =
  | { readonly kind: 'cancelled'; readonly moved: readonly Moved[] }
  /** A submission is under way: its outcome will end in `cancelled`. */
  | { readonly kind: 'requested' }
  /** Completed or failed: too late. With moves when its success was waiting on the row. */
  | { readonly kind: 'ended'; readonly status: Status; readonly moved: readonly Moved[] }

/** @param renderMaxMs how long a render under way plausibly goes on occupying the provider */
export async function cancelGeneration({ prisma }: Database, id: string, renderMaxMs: number): Promise<CancelResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      // Locked by a statement of its own: the next one must see a submission that began while it waited for the lock.
      const [row] = await tx.$queryRaw<{ status: Status; hasVideo: boolean }[]>`
        SELECT status::text, ${HAS_VIDEO} AS "hasVideo" FROM generations WHERE id = ${id} FOR UPDATE`
      if (!row) throw new Error(`there is no generation ${id}`)
      if (row.status === 'cancelled') return { kind: 'cancelled', moved: [] }
      if (row.status === 'completed' || row.status === 'failed') return { kind: 'ended', status: row.status, moved: [] }
      const moved = await cancelLocked(tx, [id], renderMaxMs)
      if (row.hasVideo) return { kind: 'ended', status: MOVES.complete.to, moved }
      return moved.length === 0 ? { kind: 'requested' } : { kind: 'cancelled', moved }
    }),
  )
}

const HAS_VIDEO = Prisma.sql`answer ->> 'kind' IS NOT DISTINCT FROM 'completed'`

/**
 * Cancels generations that are open, and locked by an earlier statement of this transaction. A success that waits on a row is carried out
 * instead, and where a submission is under way the cancellation is only noted.
 * @returns the moves that were made
 */
export async function cancelLocked(tx: Sql, ids: readonly string[], renderMaxMs: number): Promise<Moved[]> {
  const done = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM generations WHERE id = ANY (${ids}::text[]) AND ${HAS_VIDEO}`
  const moved: Moved[] = []
  for (const { id } of done) moved.push(...(await completeWithin(tx, id)))
  await tx.$executeRaw`
    UPDATE generations SET cancel_requested_at = coalesce(cancel_requested_at, now())
    WHERE id = ANY (${ids}::text[]) AND status IN ('submitting', 'processing') AND EXISTS (
      SELECT 1 FROM submissions WHERE submissions.id = generations.current_submission_id AND state = 'started')`
  const set = Prisma.sql`due_at = NULL, answer = NULL,
    slot_until = CASE WHEN g.status = 'processing' THEN now() + ${renderMaxMs} * interval '1 ms' ELSE g.slot_until END`
  const guard = Prisma.sql`NOT EXISTS (SELECT 1 FROM submissions s WHERE s.id = g.current_submission_id AND s.state = 'started')`
  return [...moved, ...(await moveGenerations(tx, ids, 'cancel', { set, guard }))]
}
