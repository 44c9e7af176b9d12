// A caller's retry of a failed generation, as a new attempt. Adopting a task that was found by hand: adoption.ts.

import type { Status } from '@reelqueue/contract/terms/status'
import type { TerminalAnswer } from '../../domain/terminal-answer.ts'
import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { completeWithin } from './completion.ts'
import { NOT_BEFORE } from './former-tasks.ts'
import { type Moved, moveGenerations } from './moves.ts'

export type RetryResult =
  | { readonly kind: 'retried'; readonly moved: readonly Moved[] }
  /** A late success was stored on the row. The generation is completed, and nothing is paid. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** Only a failed generation can be retried. */
  | { readonly kind: 'illegal'; readonly status: Status }

/**
 * Queues a failed generation again, as its next attempt. The last submission stays current until the next submission
 * begins: a late answer still saves the payment, and the submit step can ask about the last task first.
 */
export async function retryGeneration({ prisma }: Database, id: string): Promise<RetryResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const { status, answer } = await lock(tx, id)
      if (status !== 'failed') return { kind: 'illegal', status }
      if (answer?.kind === 'completed') return { kind: 'completed', moved: await completeWithin(tx, id) }
      // A new dispatch count: a job kept from the previous attempt must not swallow the job of the next admission.
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
 * Completes a retry before its payment: the task of a previous attempt has a video after all.
 * @returns no moves when the generation has moved on
 */
export async function completeFormerTask(
  { prisma }: Database,
  id: string,
  taskId: string,
  answer: TerminalAnswer,
): Promise<Moved[]> {
  // Another submission may have become the current submission.
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
