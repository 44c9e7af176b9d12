// Cancelling: immediate unless a submission is open, because its outcome must be recorded first.

import type { Status } from '../domain/status.ts'
import { type Database, withRetry } from './database.ts'
import { Prisma } from './generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'

export type CancelResult =
  | { readonly kind: 'cancelled'; readonly moved: readonly Moved[] }
  /** A submission is under way: its outcome will end in `cancelled`. */
  | { readonly kind: 'requested' }
  /** Completed or failed: too late. */
  | { readonly kind: 'ended'; readonly status: Status }

/** @param renderMaxMs how long a render under way plausibly goes on occupying the provider */
export async function cancelGeneration({ prisma }: Database, id: string, renderMaxMs: number): Promise<CancelResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      // Locked by a statement of its own: the next one must see a submission that began while it waited for the lock.
      const [row] = await tx.$queryRaw<{ status: Status }[]>`
        SELECT status::text FROM generations WHERE id = ${id} FOR UPDATE`
      if (!row) throw new Error(`there is no generation ${id}`)
      if (row.status === 'cancelled') return { kind: 'cancelled', moved: [] }
      if (row.status === 'completed' || row.status === 'failed') return { kind: 'ended', status: row.status }
      const requested = await tx.$executeRaw`
        UPDATE generations SET cancel_requested_at = coalesce(cancel_requested_at, now())
        WHERE id = ${id} AND EXISTS (
          SELECT 1 FROM submissions WHERE submissions.id = generations.current_submission_id AND state = 'started')`
      if (requested === 1) return { kind: 'requested' }
      const set = Prisma.sql`due_at = NULL, answer = NULL,
        slot_until = CASE WHEN g.status = 'processing'
          OR (SELECT state FROM submissions WHERE submissions.id = g.current_submission_id) = 'unknown' THEN now() + ${renderMaxMs} * interval '1 ms' END`
      return { kind: 'cancelled', moved: await moveGenerations(tx, [id], 'cancel', { set }) }
    }),
  )
}
