// Whether the provider knows a task that it has just named. Servers that are not the provider take a POST and name something, too
// ("id" is a common field); what they then say of that id is no state of a task. Asking is free.

import { setTimeout as delay } from 'node:timers/promises'
import type { PollAnswer, Upstream } from '@reelqueue/shared/providers/port'
import { withTimeout } from '@reelqueue/shared/runtime/clock'
import { takeRequests } from '@reelqueue/shared/store/submitting-gate'
import type { UpstreamDeps } from './deps.ts'
import { NO_TASK } from './steps/probe.ts'

/** A provider may need a moment before it finds a new task. */
const ASK_AFTER_MS = [0, 1_000, 2_000]
const ASK_MAX_MS = 5_000
/** What servers say of themselves. */
const OF_A_SERVER: ReadonlySet<string> = new Set(['ok', 'up', 'healthy', 'alive', 'active'])

/** Whether only a provider of videos answers so: with a link, or with the state of a task that is to end. */
export function tellsOfTask(answer: PollAnswer): boolean {
  if (answer.kind === 'completed') return true
  return answer.kind === 'pending' && !answer.completedWithoutUrl && !OF_A_SERVER.has(answer.status)
}

/**
 * Asks about `taskId` a few times. True also where it could not be asked because of the limit of requests, and without asking once
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
    const answer = await ask(upstream, taskId)
    if (answer !== null && tellsOfTask(answer)) return true
    // Content that is refused fails at once. Who says the same of a task that nobody made says it of anything.
    if (answer?.kind === 'failed' && (await ask(upstream, NO_TASK))?.kind === 'unavailable') return true
  }
  return asked === 0 || isProven()
}

const ask = async ({ poll }: Upstream, taskId: string) =>
  await withTimeout(poll(taskId), ASK_MAX_MS, 'provider').catch(() => null)
