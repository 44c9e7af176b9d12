// Cancelling is immediate unless a submission is open: the outcome of the submission must be recorded first.

import { MOVES, type Status } from '@reelqueue/contract/terms/status'
import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { completeWithin } from './completion.ts'
import { type Moved, moveGenerations } from './moves.ts'

export type CancelResult =
  | { readonly kind: 'cancelled'; readonly moved: readonly Moved[] }
  /** A submission is under way. Its outcome will end in `cancelled`. */
  | { readonly kind: 'requested' }
  /** Completed or failed: too late to cancel. `moved` has moves when a stored success was carried out. */
  | { readonly kind: 'ended'; readonly status: Status; readonly moved: readonly Moved[] }

/** @param renderMaxMs the longest plausible time for which a render under way occupies the provider */
export async function cancelGeneration({ prisma }: Database, id: string, renderMaxMs: number): Promise<CancelResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      // Locked by a separate statement: the next statement must see a submission that began during the wait for the
      // lock.
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
 * Cancels open generations that an earlier statement of this transaction has locked. A success stored on a row is
 * carried out instead. When a submission is under way, the cancel request is only noted.
 * @returns the moves
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
