// What a caller may ask of a failed generation: a new attempt, or that a task found by hand be taken for its own.

import { newId } from '../domain/ids.ts'
import type { Status } from '../domain/status.ts'
import type { TerminalAnswer } from '../domain/terminal-answer.ts'
import { completeWithin } from './completion.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from './database.ts'
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

export type AdoptResult =
  | { readonly kind: 'adopted'; readonly moved: readonly Moved[] }
  /** A late success was waiting on the row: it is completed, and needs no other task. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** The task belongs to another generation. */
  | { readonly kind: 'taken' }
  /** Only a failed generation can adopt a task. */
  | { readonly kind: 'illegal'; readonly status: Status }

/**
 * Gives a failed generation an upstream task that was found by hand, due to be asked about at once. It settles the current
 * submission when that one's outcome is unknown; otherwise the ledger gets a row that says it was adopted. The deadline counts
 * anew; the video's day from the earliest moment at which the task may have been created.
 */
export async function adoptTask(database: Database, id: string, taskId: string): Promise<AdoptResult> {
  try {
    return await adopt(database, id, taskId)
  } catch (error) {
    // Another generation took it at the same instant.
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
}

async function adopt({ prisma }: Database, id: string, taskId: string): Promise<AdoptResult> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const { status, answer, upstream, upstreamTaskId } = await lock(tx, id)
      // Asked again, because the first answer was lost.
      if (upstreamTaskId === taskId && (status === 'processing' || status === 'completed'))
        return { kind: 'adopted', moved: [] }
      if (status !== 'failed') return { kind: 'illegal', status }
      if (answer?.kind === 'completed') return { kind: 'completed', moved: await completeWithin(tx, id) }
      if (upstream === null) throw new Error(`the generation ${id} failed without ever being submitted`)
      const submission = await ownSubmission(tx, id, upstream, taskId)
      if (submission === null) return { kind: 'taken' }
      const set = Prisma.sql`current_submission_id = ${submission.id}, upstream_task_id = ${taskId}, may_be_charged = true, wakes = g.wakes + 1,
        admitted_at = coalesce(g.admitted_at, now()), due_at = now(), submitted_at = now(), last_pending_at = ${submission.notBefore},
        poll_failures = 0, answer = NULL, error_code = NULL, error_message = NULL,
        slot_until = CASE WHEN ${submission.settlesCurrent} THEN NULL ELSE g.slot_until END`
      return { kind: 'adopted', moved: await moveGenerations(tx, [id], 'adopt', { set }) }
    }),
  )
}

interface Locked {
  readonly status: Status
  readonly answer: TerminalAnswer | null
  readonly upstream: string | null
  readonly upstreamTaskId: string | null
}

async function lock(tx: Sql, id: string): Promise<Locked> {
  const [row] = await tx.$queryRaw<Locked[]>`
    SELECT status::text, answer, upstream, upstream_task_id AS "upstreamTaskId" FROM generations WHERE id = ${id} FOR UPDATE`
  if (!row) throw new Error(`there is no generation ${id}`)
  return row
}

interface OwnSubmission {
  readonly id: string
  /** The task cannot have been created before. */
  readonly notBefore: Date
  readonly settlesCurrent: boolean
}

/** The ledger's row for the task: the one that has it, the current one if its outcome is unknown, or a new one. Null: another's. */
async function ownSubmission(tx: Sql, id: string, upstream: string, taskId: string): Promise<OwnSubmission | null> {
  const [known] = await tx.$queryRaw<(OwnSubmission & { isOwn: boolean })[]>`
    SELECT s.id, s.started_at AS "notBefore", s.generation_id = ${id} AS "isOwn", s.id = g.current_submission_id AS "settlesCurrent"
    FROM submissions s JOIN generations g ON g.id = ${id}
    WHERE s.upstream = ${upstream} AND s.upstream_task_id = ${taskId}`
  if (known) return known.isOwn ? known : null
  const [settled] = await tx.$queryRaw<OwnSubmission[]>`
    UPDATE submissions SET state = 'accepted', upstream_task_id = ${taskId}, adopted_at = now(), settled_at = now(),
      error_code = NULL, error_message = NULL, http_status = NULL
    WHERE id = (SELECT current_submission_id FROM generations WHERE id = ${id}) AND state = 'unknown'
    RETURNING id, started_at AS "notBefore", true AS "settlesCurrent"`
  if (settled) return settled
  const [made] = await tx.$queryRaw<OwnSubmission[]>`
    INSERT INTO submissions (id, generation_id, upstream, attempt, state, upstream_task_id, lease_until, settled_at, adopted_at)
    SELECT ${newId('submission')}, id, ${upstream}, attempt, 'accepted', ${taskId}, now(), now(), now() FROM generations WHERE id = ${id}
    RETURNING id, (SELECT created_at FROM generations WHERE id = ${id}) AS "notBefore", false AS "settlesCurrent"`
  return made ?? null
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
