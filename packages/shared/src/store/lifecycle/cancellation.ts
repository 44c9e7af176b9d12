// Cancelling is immediate unless a submission is open: the outcome of the submission must be recorded first.

import { MOVES, type Status } from '@reelqueue/contract/terms/status'
import { decide } from '../../domain/lifecycle/decide.ts'
import { type Database, type Sql, withRetry } from '../database.ts'
import { carryOut } from './carry-out.ts'
import type { Moved } from './moves.ts'
import { lockSnapshot, readSnapshots } from './snapshots.ts'

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
      const snapshot = await lockSnapshot(tx, id)
      const { status } = snapshot
      if (status === 'cancelled') return { kind: 'cancelled', moved: [] }
      if (status === 'completed' || status === 'failed') return { kind: 'ended', status, moved: [] }
      const plan = decide(snapshot, { kind: 'cancel', renderMaxMs })
      const moved = await carryOut(tx, [{ snapshot, plan }])
      if (plan.move === null) return { kind: 'requested' }
      return plan.move === 'cancel'
        ? { kind: 'cancelled', moved }
        : { kind: 'ended', status: MOVES[plan.move].to, moved }
    }),
  )
}

/**
 * Cancels open generations that an earlier statement of this transaction has locked. A success stored on a row is
 * carried out instead. When a submission is under way, the cancel request is only noted.
 * @returns the moves
 */
export async function cancelLocked(tx: Sql, ids: readonly string[], renderMaxMs: number): Promise<Moved[]> {
  const snapshots = await readSnapshots(tx, ids)
  return await carryOut(
    tx,
    snapshots.map((snapshot) => ({ snapshot, plan: decide(snapshot, { kind: 'cancel', renderMaxMs }) })),
  )
}
