// Checks whether the provider knows a task that a create reply has named. Other servers answer a POST with an `id` too,
// but have no task state for the id. Polls are free.

import { setTimeout as delay } from 'node:timers/promises'
import type { PollAnswer, Upstream } from '@reelqueue/shared/providers/port'
import { withTimeout } from '@reelqueue/shared/runtime/clock'
import { takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import type { UpstreamDeps } from './deps.ts'

/** A provider may need a moment before a new task is found. */
const ASK_AFTER_MS = [0, 1_000, 2_000]
const ASK_MAX_MS = 5_000
/** Words that servers use for their own health. */
const OF_A_SERVER: ReadonlySet<string> = new Set(['ok', 'up', 'healthy', 'alive', 'active'])

/** Whether only a video provider gives this answer: a link, or the state of an unfinished task. */
export function tellsOfTask(answer: PollAnswer): boolean {
  if (answer.kind === 'completed') return true
  return answer.kind === 'pending' && !answer.completedWithoutUrl && !OF_A_SERVER.has(answer.status)
}

/**
 * Polls `taskId` up to three times. True also when the request limit prevented every poll, and, without a poll, once
 * the provider is proven.
 */
export async function isTaskKnown(deps: UpstreamDeps, taskId: string): Promise<boolean> {
  const { database, upstream, isProven, settings } = deps
  const perMinute = settings.requestsPerMinute
  let asked = 0
  for (const afterMs of ASK_AFTER_MS) {
    if (isProven()) return true
    await delay(afterMs)
    if (perMinute !== undefined && (await takeRequests(database, upstream.name, 1, perMinute)) === 0) continue
    asked++
    const answer = await within(upstream.poll(taskId))
    if (answer !== null && tellsOfTask(answer)) return true
    // Refused content fails at once. A server that fails the invented task as well would fail any id.
    if (answer?.kind === 'failed' && !(await tellsOfAnything(upstream))) return true
  }
  return asked === 0 || isProven()
}

/** Also true when the ping is not answered in time. */
async function tellsOfAnything(upstream: Upstream): Promise<boolean> {
  const ping = await within(upstream.ping())
  return ping === null || ping.kind === 'tells_of_anything'
}

const within = async <T>(asked: Promise<T>) => await withTimeout(asked, ASK_MAX_MS, 'provider').catch(() => null)
