// What a caller may ask of a failed generation: a new attempt. That a task found by hand be taken for its own: adoption.ts.

import type { Status } from '../domain/status.ts'
import type { TerminalAnswer } from '../domain/terminal-answer.ts'
import { completeWithin } from './completion.ts'
import { type Database, type Sql, withRetry } from './database.ts'
import { NOT_BEFORE } from './former-tasks.ts'
import { Prisma } from './generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'

export type RetryResult =
  | { readonly kind: 'retried'; readonly moved: readonly Moved[] }
  /** A late success was waiting on the row: it is completed, and nothing is paid. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** Only a failed generation can be retried. */
  | { readonly kind: 'illegal'; readonly status: Status }

/**
 * Queues a failed generation again, as its next attempt. Its last submission stays the current one until the next begins, so
 * that an answer that comes late still spares the payment, and the submit step can ask about its task first.
 */
export async function retryGeneration({ prisma }: Database, id: string): Promise<RetryResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const { status, answer } = await lock(tx, id)
      if (status !== 'failed') return { kind: 'illegal', status }
      if (answer?.kind === 'completed') return { kind: 'completed', moved: await completeWithin(tx, id) }
      // A wake-up of its own: a job kept from the former attempt must not swallow that of the next admission.
      const set = Prisma.sql`attempt = g.attempt + 1, wakes = g.wakes + 1, admitted_at = NULL, due_at = NULL, answer = NULL,
        error_code = NULL, error_message = NULL`
      return { kind: 'retried', moved: await moveGenerations(tx, [id], 'retry', { set }) }
    }),
  )
}

interface Locked {
  readonly status: Status
  readonly answer: TerminalAnswer | null
}

async function lock(tx: Sql, id: string): Promise<Locked> {
  const [row] = await tx.$queryRaw<Locked[]>`
    SELECT status::text, answer FROM generations WHERE id = ${id} FOR UPDATE`
  if (!row) throw new Error(`there is no generation ${id}`)
  return row
}

/**
 * Carries out what a retry found before it paid: the former attempt's task has a video after all.
 * @returns nothing when the generation has moved on meanwhile
 */
export async function completeFormerTask(
  { prisma }: Database,
  id: string,
  taskId: string,
  answer: TerminalAnswer,
): Promise<Moved[]> {
  // The generation may have tried something else since.
  const set = Prisma.sql`answer = ${JSON.stringify(answer)}::jsonb, due_at = now(), slot_until = NULL, upstream_task_id = ${taskId},
    (current_submission_id, submitted_at, last_pending_at) = (
      SELECT s.id, s.started_at, CASE WHEN g.upstream_task_id = ${taskId} THEN g.last_pending_at ELSE ${NOT_BEFORE} END
      FROM submissions s WHERE s.generation_id = g.id AND s.upstream_task_id = ${taskId})`
  const guard = Prisma.sql`EXISTS (SELECT 1 FROM submissions s WHERE s.generation_id = g.id AND s.upstream_task_id = ${taskId})
    AND NOT EXISTS (SELECT 1 FROM submissions s WHERE s.id = g.current_submission_id AND s.state = 'started')`
  return await prisma.$transaction(async (tx) => {
    const resumed = await moveGenerations(tx, [id], 'resume', { set, guard })
    return resumed.length === 0 ? [] : [...resumed, ...(await completeWithin(tx, id))]
  })
}
