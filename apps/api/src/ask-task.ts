// Asks the provider about a task to be adopted. The question is free but bounded: each question holds a connection to
// the provider, and a caller can invent task ids.

import { Later, Problem } from '@reelqueue/contract/terms/problem'
import type { Upstream } from '@reelqueue/shared/providers/port'
import { fairTurns } from '@reelqueue/shared/runtime/fair-turns'
import { takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import type { Database } from '@reelqueue/shared/store/database'

/**
 * Polls the provider's task on behalf of a project.
 * @throws Problem `upstream_task_unknown`, `upstream_unavailable`; `too_many_at_once` while the project's earlier
 * questions are unanswered
 */
export type AskTask = (projectId: string, taskId: string) => Promise<'rendering' | 'ended'>

export interface AskPorts {
  readonly database: Database
  /** Null when this process has no key for the provider. */
  readonly upstream: Pick<Upstream, 'name' | 'poll'> | null
  /** The limit over all processes; undefined means no limit. */
  readonly requestsPerMinute: number | undefined
}

/** Limit of simultaneous questions for each project. */
const ASKED_MAX = 4
const AGAIN_S = 10
const NO_KEY_AGAIN_S = 60

export function createAskTask({ database, upstream, requestsPerMinute }: AskPorts): AskTask {
  // No queue: a question above the limit is refused at once.
  const turns = fairTurns({
    max: Number.POSITIVE_INFINITY,
    maxPerKey: ASKED_MAX,
    waitingMaxPerKey: 0,
    waitMaxMs: 0,
  })

  async function ask(taskId: string): Promise<'rendering' | 'ended'> {
    if (upstream === null) {
      const detail =
        'This API has no UPSTREAM_API_KEY, so it cannot ask the provider about the task. Nothing was changed.'
      throw new Later('upstream_unavailable', NO_KEY_AGAIN_S, detail)
    }
    if (requestsPerMinute !== undefined && (await takeRequests(database, upstream.name, 1, requestsPerMinute)) === 0) {
      const detail = 'The requests that UPSTREAM_REQUESTS_PER_MINUTE allows are used up for now. Nothing was changed.'
      throw new Later('upstream_unavailable', Math.ceil(60 / requestsPerMinute), detail)
    }
    const answer = await upstream.poll(taskId)
    if (answer.kind === 'pending') return 'rendering'
    if (answer.kind !== 'unavailable') return 'ended'
    const said = answer.httpStatus === null ? answer.code : `HTTP ${answer.httpStatus} (${answer.code})`
    if (answer.isUnknownTask) {
      throw new Problem('upstream_task_unknown', `The provider was asked and knows no such task: ${said}.`)
    }
    const againS = Math.ceil((answer.retryAfterMs ?? 0) / 1_000)
    const detail = `The provider was asked about the task and did not say: ${said}. Nothing was changed.`
    throw new Later('upstream_unavailable', Math.min(Math.max(againS, AGAIN_S), 3_600), detail)
  }

  return async (projectId, taskId) => {
    const giveBack = turns.tryTake(projectId)
    if (giveBack === null) {
      throw new Later(
        'too_many_at_once',
        1,
        `The provider is being asked about ${ASKED_MAX} tasks of the project already.`,
      )
    }
    return await ask(taskId).finally(giveBack)
  }
}
