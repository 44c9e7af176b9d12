// A poller by direct calls.

import type { UpstreamDeps } from '@reelqueue/worker/deps'
import { createPollWindow } from '@reelqueue/worker/poll-window'
import { runPoller } from '@reelqueue/worker/steps/poll'

/** A poller of a separate worker: `run` does a single run, `idle` waits until every poll has been written or handed back. */
export function pollerOf(deps: UpstreamDeps, signal = new AbortController().signal) {
  const window = createPollWindow(deps, signal)
  return { run: () => runPoller({ ...deps, window }, 'lane-1', signal), idle: window.idle }
}

/** A single run of a poller, and all its answers. */
export async function runOnce(deps: UpstreamDeps, signal?: AbortSignal): Promise<void> {
  const poller = pollerOf(deps, signal)
  await poller.run()
  await poller.idle()
}
