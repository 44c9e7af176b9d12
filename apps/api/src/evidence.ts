// What the provider answered for one generation, from its ledger and its last poll.

import type { GenerationJson } from '@reelqueue/shared/contract/generation'
import type { LastPoll } from '@reelqueue/shared/domain/kept-reply'
import type { Generation } from '@reelqueue/shared/store/generations'
import { listSubmissions } from '@reelqueue/shared/store/ledger'
import type { ApiDeps } from './deps.ts'

const SUBMISSIONS_MAX = 20

/** The evidence of a generation that the caller may read. */
export async function withEvidence(
  { database }: ApiDeps,
  { id, lastPoll, lastPendingAt }: Generation,
): Promise<Pick<GenerationJson, 'last_poll' | 'submissions'>> {
  const rows = await listSubmissions(database, id, SUBMISSIONS_MAX)
  if (rows.length === 0) return {}
  const pending =
    lastPendingAt === null
      ? null
      : ({
          class: 'pending',
          http_status: 200,
          code: null,
          message: null,
          at: lastPendingAt.toISOString(),
          failures: 0,
        } as const)
  const last = (lastPoll as LastPoll | null) ?? pending
  return {
    ...(last ? { last_poll: last } : {}),
    submissions: rows.map((row) => ({
      id: row.id,
      attempt: row.attempt,
      state: row.state,
      upstream_task_id: row.upstreamTaskId,
      error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? '' },
      started_at: row.startedAt.toISOString(),
      settled_at: row.settledAt?.toISOString() ?? null,
      reply: row.reply,
    })),
  }
}
