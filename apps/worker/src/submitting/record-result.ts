// Records the outcome of a submission, again and again where a task id is at stake.

import { setTimeout as delay } from 'node:timers/promises'
import { recordAgainMs } from '@reelqueue/shared/domain/submission'
import {
  type RecordedOutcome,
  recordOutcome,
  type SubmissionResult,
} from '@reelqueue/shared/store/lifecycle/record-outcome'
import type { UpstreamDeps } from '../deps.ts'

/**
 * Records an outcome. An outcome with a task id is retried until Postgres is back: without the record, the payment is
 * lost.
 */
export async function recordResult(
  { database, batches, log, upstream }: UpstreamDeps,
  submissionId: string,
  result: SubmissionResult,
  pollAfterMs: number,
): Promise<RecordedOutcome> {
  const options = { firstPollMs: pollAfterMs, renderMaxMs: upstream.facts.renderMaxMs }
  const upstreamTaskId = result.kind === 'accepted' ? result.taskId : null
  return await untilRecorded(log, result.kind, { submissionId, upstreamTaskId }, () =>
    result.kind === 'accepted'
      ? batches.accept({ submissionId, taskId: result.taskId, reply: result.reply ?? null, ...options })
      : batches.singleRow(() => recordOutcome(database, submissionId, result, options)),
  )
}

export async function untilRecorded<T>(
  log: UpstreamDeps['log'],
  outcome: Parameters<typeof recordAgainMs>[0],
  of: { readonly submissionId: string; readonly generationId?: string; readonly upstreamTaskId?: string | null },
  act: () => Promise<T>,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await act()
    } catch (error) {
      // The ids are logged only the first time, so repeated lines are suppressed like those of any failure.
      log.error({ event: 'submit.unrecorded', ...(tries === 1 && of), outcome, tries, err: error })
      const againMs = recordAgainMs(outcome, tries)
      if (againMs === null) throw error
      await delay(againMs)
    }
  }
}
