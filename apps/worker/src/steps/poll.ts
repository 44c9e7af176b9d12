// A poller run: claims due generations for the free places. The worker's poll window awaits and writes the answers,
// also after the run.

import { pollTimeoutMs } from '@reelqueue/shared/domain/poll-plan'
import type { StepOutcome } from '@reelqueue/shared/queues/consumer'
import { giveBackRequests, takeRequests } from '@reelqueue/shared/store/admission/request-rate'
import { claimDuePolls } from '@reelqueue/shared/store/lifecycle/polling'
import { adjustPollers } from '../adjust-pollers.ts'
import type { UpstreamDeps } from '../deps.ts'
import type { PollWindow } from '../poll-window.ts'

/** Generations of a claim. */
const PAGE = 100
/** With more polls in a run, the upstream counts as busy. */
const BUSY_POLLS = 500
/** A run ends after this long even while rows are due: the next run continues, perhaps in another worker. */
const RUN_MAX_MS = 5_000
/** Added to the time limit of a poll: afterwards the claim of a dead worker ends. */
const LEASE_MARGIN_MS = 15_000

export interface PollerDeps extends UpstreamDeps {
  readonly window: PollWindow
}

/** `runId` identifies the poller. */
export async function runPoller(deps: PollerDeps, runId: string, signal: AbortSignal): Promise<StepOutcome> {
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
  if (!signal.aborted) await adjustPollers(deps, runId, polls > 0)
  return { kind: 'done' }
}

/** The number of polls the request limit allows, at most `places`. */
async function allowed({ database, upstream, settings }: UpstreamDeps, places: number): Promise<number> {
  const { requestsPerMinute } = settings
  if (requestsPerMinute === undefined || places === 0) return places
  return await takeRequests(database, upstream.name, places, requestsPerMinute)
}

async function giveBack({ database, upstream, settings }: UpstreamDeps, unused: number): Promise<void> {
  if (settings.requestsPerMinute !== undefined) await giveBackRequests(database, upstream.name, unused)
}
