// Ends a generation by the store's own moves, like a worker, for tests that need an ended generation without a provider.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import type { Database } from '@reelqueue/shared/store/database'
import { completeGeneration } from '@reelqueue/shared/store/lifecycle/completion'
import { recordPolls } from '@reelqueue/shared/store/lifecycle/polling'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { beginSubmission } from '@reelqueue/shared/store/lifecycle/submissions'
import { beginRequestFor } from './seed.ts'

const MINUTE_MS = 60_000
const DELAYS = { firstPollMs: MINUTE_MS, renderMaxMs: MINUTE_MS }

export const VIDEO_URL = 'https://videos.example/clip.mp4'

/** Submits a queued generation. @returns the id of its open submission */
export async function openSubmission(database: Database, id: string): Promise<string> {
  while ((await admitGenerations(database, CONFIGURED, 100_000)).againMs === 0);
  const begun = await beginSubmission(database, beginRequestFor(id), 'test', MINUTE_MS)
  if (begun.kind !== 'begun') throw new Error(`${id} could not be submitted: ${begun.kind}`)
  return begun.intent.submissionId
}

/** Moves a queued generation to `processing`. @returns its upstream task id */
export async function startGeneration(database: Database, id: string): Promise<string> {
  const taskId = `task_of_${id}`
  await recordOutcome(database, await openSubmission(database, id), { kind: 'accepted', taskId }, DELAYS)
  return taskId
}

/** Moves a queued generation to its end. */
export async function endGeneration(database: Database, id: string, end: 'completed' | 'failed'): Promise<void> {
  const upstreamTaskId = await startGeneration(database, id)
  const answer =
    end === 'completed'
      ? ({ kind: 'completed', videoUrl: VIDEO_URL, actualDuration: 4.04, cost: null } as const)
      : ({ kind: 'failed', code: 'upstream_failed', message: 'the provider said no', cost: null } as const)
  await recordPolls(database, [
    { id, upstreamTaskId, dispatchCount: 0, nextMs: null, sawPending: false, pollFailures: 0, answer },
  ])
  await completeGeneration(database, id)
}
