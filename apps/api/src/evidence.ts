// The provider's answers for a generation, from the submission ledger and the last poll; and the row that Postgres
// refuses to write.

import type { GenerationJson } from '@reelqueue/contract/wire/generation'
import type { LastPoll } from '@reelqueue/shared/domain/kept-reply'
import type { Generation } from '@reelqueue/shared/store/intake/generations'
import { listSubmissions } from '@reelqueue/shared/store/operator/ledger'
import { findUnstorable, type UnstorableRow } from '@reelqueue/shared/store/unstorable'
import type { ApiDeps } from './deps.ts'

const SUBMISSIONS_MAX = 20

/** The evidence of a generation. The caller must have checked that the project may read the generation. */
export async function withEvidence(
  { database }: ApiDeps,
  { id, status, lastPoll, lastPendingAt }: Generation,
): Promise<Pick<GenerationJson, 'last_poll' | 'submissions' | 'unstorable'>> {
  const [rows, noted] = await Promise.all([
    listSubmissions(database, id, SUBMISSIONS_MAX),
    findUnstorable(database, id),
  ])
  // The note stays for a while after a later write succeeded.
  const refused = noted && status !== 'completed' && status !== 'cancelled' ? { unstorable: unstorable(noted) } : {}
  if (rows.length === 0) return refused
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
    ...refused,
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

function unstorable({ sqlState, failures, since, retryAt }: UnstorableRow): GenerationJson['unstorable'] {
  return { sql_state: sqlState, failures, since: since.toISOString(), next_try_at: retryAt.toISOString() }
}
