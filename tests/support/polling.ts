// A polling lane by plain calls.

import type { UpstreamDeps } from '@reelqueue/worker/deps'
import { createPollWindow } from '@reelqueue/worker/poll-window'
import { pollLane } from '@reelqueue/worker/steps/poll'

/** A lane of a worker of its own: `run` does one run of it, `idle` waits until whatever was asked is written or handed back. */
export function laneOf(deps: UpstreamDeps, signal = new AbortController().signal) {
  const window = createPollWindow(deps, signal)
  return { run: () => pollLane({ ...deps, window }, 'lane-1', signal), idle: window.idle }
}

/** One run of a lane, and all answers to it. */
export async function runLane(deps: UpstreamDeps, signal?: AbortSignal): Promise<void> {
  const lane = laneOf(deps, signal)
  await lane.run()
  await lane.idle()
}
