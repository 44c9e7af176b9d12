// The end of a rendered generation: status, video, expiry, event and deliveries in one statement.

import { decide } from '../../domain/lifecycle/decide.ts'
import type { TerminalAnswer } from '../../domain/terminal-answer.ts'
import { type Database, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { withoutUnstorable } from '../unstorable-search.ts'
import { carryOut } from './carry-out.ts'
import { COMPLETED, completedBy } from './completed.ts'
import { type Moved, moveGenerations } from './moves.ts'
import { asSeen, type Seen } from './polling.ts'
import { findSnapshot } from './snapshots.ts'

/** A poll of a completed task. */
export interface SeenCompleted extends Seen {
  readonly answer: TerminalAnswer
}

/**
 * Completes generations straight from poll answers, in one statement. The answers are not written to the rows first. A
 * poller that lost its claim changes nothing.
 */
export async function completeSeen(database: Database, polls: readonly SeenCompleted[]): Promise<Moved[]> {
  return await withoutUnstorable(database, 'end', polls, (some) => withRetry(() => complete(database, some)))
}

async function complete({ prisma }: Database, polls: readonly SeenCompleted[]): Promise<Moved[]> {
  const ids = polls.map((poll) => poll.id)
  // Looked up by id: a join would compare every row with every answer.
  const answers = JSON.stringify(Object.fromEntries(polls.map((poll) => [poll.id, poll.answer])))
  const set = completedBy(Prisma.sql`${answers}::jsonb -> g.id`)
  return await moveGenerations(prisma, ids, 'complete', { set, guard: asSeen(polls) })
}

/**
 * Completes the generations with a stored success, in one statement. The results are in the order of `ids`: null when
 * no success is stored on the row.
 */
export async function completeGenerations({ prisma }: Database, ids: readonly string[]): Promise<(Moved[] | null)[]> {
  const guard = Prisma.sql`g.answer ->> 'kind' = 'completed'`
  const completed = await withRetry(() => moveGenerations(prisma, ids, 'complete', { set: COMPLETED, guard }))
  const byId = new Map(completed.map((move) => [move.id, [move]]))
  return ids.map((id) => byId.get(id) ?? null)
}

/** Carries out the terminal answer stored on the row; does nothing without a stored answer. */
export async function completeGeneration({ prisma }: Database, id: string): Promise<Moved[]> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const snapshot = await findSnapshot(tx, id)
      return snapshot ? await carryOut(tx, [{ snapshot, plan: decide(snapshot, { kind: 'ended' }) }]) : []
    }),
  )
}
