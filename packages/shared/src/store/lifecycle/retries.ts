// A caller's retry of a failed generation, as a new attempt. Adopting a task that was found by hand: adoption.ts.

import type { Status } from '@reelqueue/contract/terms/status'
import { decide } from '../../domain/lifecycle/decide.ts'
import type { TerminalAnswer } from '../../domain/terminal-answer.ts'
import { type Database, withRetry } from '../database.ts'
import { carryOut } from './carry-out.ts'
import type { Moved } from './moves.ts'
import { lockSnapshot, readSnapshots } from './snapshots.ts'

export type RetryResult =
  | { readonly kind: 'retried'; readonly moved: readonly Moved[] }
  /** A late success was stored on the row. The generation is completed, and nothing is paid. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** Only a failed generation can be retried. */
  | { readonly kind: 'illegal'; readonly status: Status }

/** Queues a failed generation again, as its next attempt. */
export async function retryGeneration({ prisma }: Database, id: string): Promise<RetryResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const snapshot = await lockSnapshot(tx, id)
      const plan = decide(snapshot, { kind: 'retry' })
      const moved = await carryOut(tx, [{ snapshot, plan }])
      if (plan.move === null) return { kind: 'illegal', status: snapshot.status }
      return { kind: plan.move === 'retry' ? 'retried' : 'completed', moved }
    }),
  )
}

/**
 * Completes a retry before its payment: the task of a previous attempt has a video after all.
 * @returns no moves when the generation has moved on
 */
export async function completePreviousTask(
  { prisma }: Database,
  id: string,
  taskId: string,
  answer: TerminalAnswer,
): Promise<Moved[]> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const snapshot = await lockSnapshot(tx, id)
      const resumed = await carryOut(tx, [{ snapshot, plan: decide(snapshot, { kind: 'found', taskId, answer }) }])
      // Now the row has the answer, as if the pollers had stored the answer.
      const [rendering] = resumed.length === 0 ? [] : await readSnapshots(tx, [id])
      if (!rendering) return []
      const plan = decide(rendering, { kind: 'ended' })
      return [...resumed, ...(await carryOut(tx, [{ snapshot: rendering, plan }]))]
    }),
  )
}
