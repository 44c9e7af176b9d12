// A failed generation adopts an upstream task that was found by hand. The store checks the generation and the ledger.
// Before any change, the caller asks the provider whether the task exists and whether it still renders.

import { newId } from '@reelqueue/contract/terms/ids'
import type { Status } from '@reelqueue/contract/terms/status'
import type { TerminalAnswer } from '../../domain/terminal-answer.ts'
import { ADMISSION_LOCK, type SlotsPerModel } from '../admission/admission.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { completeWithin } from './completion.ts'
import { type Moved, moveGenerations } from './moves.ts'

export interface Adoption {
  readonly taskId: string
  /** An operator may adopt for any failed generation. */
  readonly isOperator: boolean
  /** The provider's answer about the task; null: the provider has not been asked. */
  readonly task: 'rendering' | 'ended' | null
  /** The same slots as for admission: a task that still renders takes a slot. */
  readonly slots: number
  readonly slotsPerModel: SlotsPerModel
}

export type AdoptResult =
  | { readonly kind: 'adopted'; readonly moved: readonly Moved[] }
  /** A late success was stored on the row. The generation is completed and needs no other task. */
  | { readonly kind: 'completed'; readonly moved: readonly Moved[] }
  /** Nothing prevents the adoption, and nothing was changed. The caller must ask the provider about the task. */
  | { readonly kind: 'ask' }
  /** The task belongs to another generation. */
  | { readonly kind: 'taken' }
  /** The outcome of every submission of the generation is known, so no submission can have made the task. */
  | { readonly kind: 'nothing_unknown' }
  /** The task still renders, and no slot is free. */
  | { readonly kind: 'full' }
  /** Only a failed generation can adopt a task. */
  | { readonly kind: 'illegal'; readonly status: Status }

/**
 * Gives a failed generation an upstream task that was found by hand, with a poll due at once. The task settles a
 * submission with an unknown outcome. An operator may adopt without an unknown submission; the ledger then gets a row
 * marked as adopted. The deadline starts again. The 24 hours of the video count from the earliest moment at which the
 * task may have been created.
 */
export async function adoptTask(database: Database, id: string, adoption: Adoption): Promise<AdoptResult> {
  try {
    return await adopt(database, id, adoption)
  } catch (error) {
    // Another generation took the task at the same moment.
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
      // A repeated request: the first answer was lost.
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
  /** The earliest possible creation time of the task. */
  readonly notBefore: Date
  readonly isCurrent: boolean
}

/** The ledger row that has the task; null: no row has the task. */
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

/**
 * Whether a submission of the generation may have made a task unknown to the ledger. An adopted task may have been the
 * wrong task.
 */
async function hasUnknown(tx: Sql, id: string): Promise<boolean> {
  const rows = await tx.$queryRaw<unknown[]>`
    SELECT 1 FROM submissions WHERE generation_id = ${id} AND (state = 'unknown' OR adopted_at > started_at) LIMIT 1`
  return rows.length > 0
}

/**
 * Whether admission would find no slot for another generation of this project and model. Kept slots are not counted:
 * the generation itself may have had a kept slot.
 */
async function isFull(tx: Sql, { projectId, model }: Locked, { slots, slotsPerModel }: Adoption): Promise<boolean> {
  // A separate statement, as in admission: generations admitted at this moment are counted.
  await tx.$executeRaw`SELECT pg_advisory_xact_lock(${ADMISSION_LOCK})`
  const [row] = await tx.$queryRaw<{ isFull: boolean }[]>`
    SELECT count(*) >= ${slots}::int OR count(*) FILTER (WHERE model = ${model}) >= ${slotsPerModel[model] ?? slots}::int
      OR coalesce(count(*) FILTER (WHERE project_id = ${projectId})
        >= (SELECT max_in_flight FROM projects WHERE id = ${projectId}), false) AS "isFull"
    FROM generations WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')`
  return row?.isFull ?? false
}

/**
 * Gives the task to a submission with an unknown outcome, the current submission first. @returns null when no outcome
 * is unknown
 */
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

/** Adds a ledger row for a task that no known submission has made. */
async function addSubmission(tx: Sql, id: string, upstream: string, taskId: string): Promise<OwnSubmission> {
  const [made] = await tx.$queryRaw<OwnSubmission[]>`
    INSERT INTO submissions (id, generation_id, upstream, attempt, state, upstream_task_id, lease_until, settled_at, adopted_at)
    SELECT ${newId('submission')}, id, ${upstream}, attempt, 'accepted', ${taskId}, now(), now(), now() FROM generations WHERE id = ${id}
    RETURNING id, (SELECT created_at FROM generations WHERE id = ${id}) AS "notBefore", false AS "isCurrent"`
  if (!made) throw new Error(`there is no generation ${id}`)
  return made
}
