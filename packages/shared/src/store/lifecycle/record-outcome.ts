// The ledger of paid acts, after the act: locks the generation, lets `decide` say what follows from the outcome of its
// submission, and carries the plan out in the same transaction.

import { newId } from '@reelqueue/contract/terms/ids'
import { MOVES, type Status } from '@reelqueue/contract/terms/status'
import { isRefusalDecisive, isSubmittedAgain } from '../../domain/lifecycle/answered.ts'
import { decide } from '../../domain/lifecycle/decide.ts'
import type { Answered, RecordOptions, SubmissionResult as Result } from '../../domain/lifecycle/outcome.ts'
import type { Snapshot } from '../../domain/lifecycle/snapshot.ts'
import { type Database, isUniqueViolation, type Sql, withRetry } from '../database.ts'
import { sql } from '../sql.ts'
import { carryOut } from './carry-out.ts'
import type { Moved } from './moves.ts'
import { findTaskHolder, reclaimTask } from './reclaim.ts'
import { type CountedRefusal, countRefusal, type GateRefusal } from './refusals.ts'
import { readSnapshots } from './snapshots.ts'
import type { BeginRequest } from './submissions.ts'

/** The outcome of a submission. `refusal`: set when a refusal may concern all submissions, not only this generation. */
export type SubmissionResult = Result & { readonly refusal?: GateRefusal }

export interface RecordedOutcome {
  /** The new status of the generation; `unchanged` when the generation had moved on without this submission. */
  readonly status: Status | 'unchanged'
  readonly moved: readonly Moved[]
  /** The refusal closed the gate, or closed the gate again. */
  readonly isGateClosed?: boolean
  /** The provider named the task of another submission, so this submission is recorded as unknown. */
  readonly isDuplicate?: boolean
}

/**
 * Records the outcome of a submission and its consequences, in one transaction.
 * INVARIANT: a task id is recorded whatever the status of the generation. A task belongs to the submission that was
 * answered with the task. When another generation has adopted the task by hand, the task is taken away there, and the
 * result contains the moves of that generation too.
 */
export async function recordOutcome(
  database: Database,
  submissionId: string,
  result: SubmissionResult,
  options: RecordOptions,
): Promise<RecordedOutcome> {
  try {
    return await recordResult(database, submissionId, result, options)
  } catch (error) {
    if (result.kind !== 'accepted' || !isUniqueViolation(error)) throw error
    // Another submission recorded the same task at the same moment. The second run sees the other row.
    return await recordResult(database, submissionId, result, options)
  }
}

/**
 * Settles an intent as certainly refused when no request was sent, because the answer to the intent's COMMIT was lost.
 * INVARIANT: only the caller that made the submission id knows that no request was sent.
 * @returns null when the intent was not committed, and never will be
 */
export async function recordUnsent(
  { prisma }: Database,
  { generationId, submissionId }: BeginRequest,
  result: SubmissionResult & { readonly kind: 'rejected' },
  options: RecordOptions,
): Promise<RecordedOutcome | null> {
  return await withRetry(() =>
    prisma.$transaction(async (tx) => {
      // The transaction of the intent held this lock. When we get the lock, that transaction has ended.
      await tx.$queryRaw(sql.named('lockUnsent')`SELECT 1 FROM generations WHERE id = ${generationId} FOR UPDATE`)
      const intents = await tx.$queryRaw<unknown[]>(
        sql.named('findIntent')`SELECT 1 FROM submissions WHERE id = ${submissionId}`,
      )
      return intents.length === 0 ? null : await recordWithin(tx, submissionId, result, options)
    }),
  )
}

async function recordResult(
  { prisma }: Database,
  submissionId: string,
  result: SubmissionResult,
  options: RecordOptions,
): Promise<RecordedOutcome> {
  return await withRetry(() => prisma.$transaction((tx) => recordWithin(tx, submissionId, result, options)))
}

async function recordWithin(
  tx: Sql,
  submissionId: string,
  result: SubmissionResult,
  options: RecordOptions,
): Promise<RecordedOutcome> {
  const id = await lockGenerationOf(tx, submissionId)
  const holder = result.kind === 'accepted' ? await findTaskHolder(tx, submissionId, result.taskId) : null
  const adopter = holder?.isAdopted && holder.generationId !== id ? holder : null
  const reclaimed =
    adopter && result.kind === 'accepted' ? await reclaimTask(tx, adopter, result.taskId, options.renderMaxMs) : []
  const [snapshot] = await readSnapshots(tx, [id], [submissionId])
  if (!snapshot) throw new Error(`there is no generation ${id}`)
  const isDuplicate = holder !== null && adopter === null
  const given = { submissionId, result, options, isDuplicate, newId: newId('submission') }
  const outcome: Answered = { kind: 'answered', ...given, isReleased: false }
  const counted = await countIfDecisive(tx, snapshot, outcome, result)
  const plan = decide(snapshot, { ...outcome, isReleased: counted?.isReleased ?? false })
  const moved = await carryOut(tx, [{ snapshot, plan }])
  const stays = isSubmittedAgain(plan) ? snapshot.status : 'unchanged'
  return {
    status: plan.move === null ? stays : MOVES[plan.move].to,
    moved: [...moved, ...reclaimed],
    ...(counted && { isGateClosed: counted.isGateClosed }),
    ...(isDuplicate && { isDuplicate: !holder.isAdopted }),
  }
}

/** The generation is locked before its ledger row, as everywhere in the store: the opposite order could deadlock. */
async function lockGenerationOf(tx: Sql, submissionId: string): Promise<string> {
  const [generation] = await tx.$queryRaw<{ id: string }[]>(sql.named('lockGenerationOf')`
    SELECT id
    FROM generations
    WHERE id = (SELECT generation_id FROM submissions WHERE id = ${submissionId})
    FOR UPDATE`)
  if (!generation) throw new Error(`submission ${submissionId} is not in the ledger`)
  return generation.id
}

/** Counts the refusal for the gate, if the refusal decides about the generation; otherwise null. */
async function countIfDecisive(
  tx: Sql,
  snapshot: Snapshot,
  outcome: Answered,
  result: SubmissionResult,
): Promise<CountedRefusal | null> {
  if (result.kind !== 'rejected' || !result.refusal || !isRefusalDecisive(snapshot, outcome)) return null
  return await countRefusal(tx, snapshot.id, result.code, result.refusal)
}
