// A failed generation takes an upstream task that was found by hand for its own. The store says what stands in the way; that the task
// exists, and whether it still renders, is for the caller to ask the provider before anything is changed.

import { newId } from '../domain/ids.ts'
import type { Status } from '../domain/status.ts'
import type { TerminalAnswer } from '../domain/terminal-answer.ts'
import { ADMISSION_LOCK, type SlotsPerModel } from './admission.ts'
import { completeWithin } from './completion.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from './database.ts'
import { Prisma } from './generated/client.ts'
import { type Moved, moveGenerations } from './moves.ts'

export interface Adoption {
  readonly taskId: string
  /** An operator may adopt for any failed generation. */
  readonly isOperator: boolean
  /** What the provider says of the task; null: it has not been asked. */
  readonly task: 'rendering' | 'ended' | null
  /** As for admission: a task that still renders takes a slot. */
  readonly slots: number
  readonly slotsPerModel: SlotsPerModel
}

export type AdoptResult =
  | { readonly kind: 'adopted'; readonly moved: readonly Moved[] }
  /** A late success was waiting on the row: it is completed, and needs no other task. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** Nothing stands in the way and nothing was changed: the provider is to be asked about the task. */
  | { readonly kind: 'ask' }
  /** The task belongs to another generation. */
  | { readonly kind: 'taken' }
  /** Every outcome of the generation's submissions is known, so the task cannot be one of theirs. */
  | { readonly kind: 'nothing_unknown' }
  /** The task still renders, and no slot is free for it. */
  | { readonly kind: 'full' }
  /** Only a failed generation can adopt a task. */
  | { readonly kind: 'illegal'; readonly status: Status }

/**
 * Gives a failed generation an upstream task that was found by hand, due to be asked about at once. It settles a submission whose
 * outcome is unknown; an operator may adopt without one, and the ledger then gets a row that says it was adopted. The deadline counts
 * anew; the video's day from the earliest moment at which the task may have been created.
 */
export async function adoptTask(database: Database, id: string, adoption: Adoption): Promise<AdoptResult> {
  try {
    return await adopt(database, id, adoption)
  } catch (error) {
    // Another generation took it at the same instant.
    if (isUniqueViolation(error)) return { kind: 'taken' }
    throw error
  }
}

async function adopt({ prisma }: Database, id: string, adoption: Adoption): Promise<AdoptResult> {
  const { taskId, isOperator, task } = adoption
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      const generation = await lock(tx, id)
      const { status, answer, upstream, upstreamTaskId } = generation
      // Asked again, because the first answer was lost.
      if (upstreamTaskId === taskId && (status === 'processing' || status === 'completed'))
        return { kind: 'adopted', moved: [] }
      if (status !== 'failed') return { kind: 'illegal', status }
      if (answer?.kind === 'completed') return { kind: 'completed', moved: await completeWithin(tx, id) }
      if (upstream === null) throw new Error(`the generation ${id} failed without ever being submitted`)
      const known = await submissionOf(tx, id, upstream, taskId)
      if (known && !known.isOwn) return { kind: 'taken' }
      if (!known && !isOperator && !(await hasUnknown(tx, id))) return { kind: 'nothing_unknown' }
      if (task === null) return { kind: 'ask' }
      if (task === 'rendering' && (await isFull(tx, generation, adoption))) return { kind: 'full' }
      const submission =
        known ?? (await settleUnknown(tx, id, taskId)) ?? (await addSubmission(tx, id, upstream, taskId))
      const set = Prisma.sql`current_submission_id = ${submission.id}, upstream_task_id = ${taskId}, may_be_charged = true, wakes = g.wakes + 1,
        admitted_at = coalesce(g.admitted_at, now()), due_at = now(), submitted_at = now(), last_pending_at = ${submission.notBefore},
        poll_failures = 0, answer = NULL, error_code = NULL, error_message = NULL,
        slot_until = CASE WHEN ${submission.isCurrent} THEN NULL ELSE g.slot_until END`
      return { kind: 'adopted', moved: await moveGenerations(tx, [id], 'adopt', { set }) }
    }),
  )
}

interface Locked {
  readonly projectId: string
  readonly model: string
  readonly status: Status
  readonly answer: TerminalAnswer | null
  readonly upstream: string | null
  readonly upstreamTaskId: string | null
}

async function lock(tx: Sql, id: string): Promise<Locked> {
  const [row] = await tx.$queryRaw<Locked[]>`
    SELECT project_id AS "projectId", model, status::text, answer, upstream, upstream_task_id AS "upstreamTaskId"
    FROM generations WHERE id = ${id} FOR UPDATE`
  if (!row) throw new Error(`there is no generation ${id}`)
  return row
}

interface OwnSubmission {
  readonly id: string
  /** The task cannot have been created before. */
  readonly notBefore: Date
  readonly isCurrent: boolean
}

/** The ledger's row that has the task; null: none has. */
async function submissionOf(
  tx: Sql,
  id: string,
  upstream: string,
  taskId: string,
): Promise<(OwnSubmission & { readonly isOwn: boolean }) | null> {
  const [known] = await tx.$queryRaw<(OwnSubmission & { isOwn: boolean })[]>`
    SELECT s.id, s.started_at AS "notBefore", s.generation_id = ${id} AS "isOwn", s.id = g.current_submission_id AS "isCurrent"
    FROM submissions s JOIN generations g ON g.id = ${id}
    WHERE s.upstream = ${upstream} AND s.upstream_task_id = ${taskId}`
  return known ?? null
}

/** Whether a submission of the generation may have made a task that we do not know; one that was adopted may have been the wrong one. */
async function hasUnknown(tx: Sql, id: string): Promise<boolean> {
  const rows = await tx.$queryRaw<unknown[]>`
    SELECT 1 FROM submissions WHERE generation_id = ${id} AND (state = 'unknown' OR adopted_at > started_at) LIMIT 1`
  return rows.length > 0
}

/** Whether admission would find no slot for one more of this project and model. Kept slots are not counted: it may have had one. */
async function isFull(tx: Sql, { projectId, model }: Locked, { slots, slotsPerModel }: Adoption): Promise<boolean> {
  // A statement of its own, as in admission: what is admitted at this moment is counted.
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(${ADMISSION_LOCK})`
  const [row] = await tx.$queryRaw<{ isFull: boolean }[]>`
    SELECT count(*) >= ${slots}::int OR count(*) FILTER (WHERE model = ${model}) >= ${slotsPerModel[model] ?? slots}::int
      OR coalesce(count(*) FILTER (WHERE project_id = ${projectId})
        >= (SELECT max_in_flight FROM projects WHERE id = ${projectId}), false) AS "isFull"
    FROM generations WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')`
  return row?.isFull ?? false
}

/** The task becomes that of a submission whose outcome is unknown, the current one first. @returns null when there is none */
async function settleUnknown(tx: Sql, id: string, taskId: string): Promise<OwnSubmission | null> {
  const [settled] = await tx.$queryRaw<OwnSubmission[]>`
    UPDATE submissions SET state = 'accepted', upstream_task_id = ${taskId}, adopted_at = now(), settled_at = now(),
      error_code = NULL, error_message = NULL, http_status = NULL
    WHERE id = (
      SELECT s.id FROM submissions s JOIN generations g ON g.id = s.generation_id WHERE g.id = ${id} AND s.state = 'unknown'
      ORDER BY s.id = g.current_submission_id DESC, s.id DESC LIMIT 1)
    RETURNING id, started_at AS "notBefore", id = (SELECT current_submission_id FROM generations WHERE id = ${id}) AS "isCurrent"`
  return settled ?? null
}

/** A row for a task that no submission which we know of has made. */
async function addSubmission(tx: Sql, id: string, upstream: string, taskId: string): Promise<OwnSubmission> {
  const [made] = await tx.$queryRaw<OwnSubmission[]>`
    INSERT INTO submissions (id, generation_id, upstream, attempt, state, upstream_task_id, lease_until, settled_at, adopted_at)
    SELECT ${newId('submission')}, id, ${upstream}, attempt, 'accepted', ${taskId}, now(), now(), now() FROM generations WHERE id = ${id}
    RETURNING id, (SELECT created_at FROM generations WHERE id = ${id}) AS "notBefore", false AS "isCurrent"`
  if (!made) throw new Error(`there is no generation ${id}`)
  return made
}
