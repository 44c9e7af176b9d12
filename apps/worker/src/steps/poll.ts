// One run of a polling lane: claims whatever generations are due, as far as there are places to ask about them. Their answers are
// awaited and written by the worker's window of polls, also after the run.

import { pollTimeoutMs } from '@reelqueue/shared/domain/poll-plan'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { claimDuePolls } from '@reelqueue/shared/store/polling'
import { giveBackRequests, takeRequests } from '@reelqueue/shared/store/submitting-gate'
import type { UpstreamDeps } from '../deps.ts'
import { keepPace } from '../lane-pace.ts'
import type { PollWindow } from '../poll-window.ts'

/** Generations claimed at once. */
const PAGE = 100
/** So many in one run are many. */
const BUSY_POLLS = 500
/** A run ends after this long even while rows are due: the next one, perhaps elsewhere, goes on. */
const RUN_MAX_MS = 5_000
/** Added to the time of a poll: after that a claim of a dead worker lapses. */
const LEASE_MARGIN_MS = 15_000

export interface LaneDeps extends UpstreamDeps {
  readonly window: PollWindow
}

/** `runId`: which lane comes by. */
export async function pollLane(deps: LaneDeps, runId: string, signal: AbortSignal): Promise<StepOutcome> {
  const { window } = deps
  const beganAt = performance.now()
  const leaseMs = pollTimeoutMs(deps.settings.upstreamTimeoutMs) + LEASE_MARGIN_MS
  let polls = 0
  while (performance.now() - beganAt < RUN_MAX_MS && !signal.aborted) {
    const isMore = await window.reserve(PAGE, async (places) => {
      const page = await allowed(deps, places)
      const due = page === 0 ? [] : await claimDuePolls(deps.database, page, leaseMs)
      if (due.length < page) await giveBack(deps, page - due.length)
      polls += due.length
      window.ask(due, page < places || polls > BUSY_POLLS)
      return due.length === places
    })
    if (!isMore) break
    await window.room(PAGE)
  }
  if (polls > 0) deps.log.info({ event: 'poll.run', polls, durationMs: Math.round(performance.now() - beganAt) })
  if (!signal.aborted) await keepPace(deps, runId, polls > 0)
  return { kind: 'done' }
}

/** How many of `places` the limit of requests leaves. */
async function allowed({ database, upstream, settings }: UpstreamDeps, places: number): Promise<number> {
  const { requestsPerMinute } = settings
  if (requestsPerMinute === undefined || places === 0) return places
  return await takeRequests(database, upstream.name, places, requestsPerMinute)
}

async function giveBack({ database, upstream, settings }: UpstreamDeps, unused: number): Promise<void> {
  if (settings.requestsPerMinute !== undefined) await giveBackRequests(database, upstream.name, unused)
}
