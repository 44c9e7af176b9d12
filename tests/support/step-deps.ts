// The dependencies of a step, taken from an app's own parts, for tests that call steps directly.

import { createAfterCommit } from '@reelqueue/shared/after-commit'
import { pollLimits } from '@reelqueue/shared/domain/poll-plan'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import type { UpstreamDeps, WorkerSettings } from '@reelqueue/worker/deps'
import { createMicroBatches } from '@reelqueue/worker/micro-batches'
import type { TestApp } from './test-app.ts'

/** After-commit work as in a worker, except that `admit` and `noteRender` replace admission and statistics. */
export function afterCommitOf(
  { queues }: Pick<TestApp, 'queues'>,
  admit: () => void = () => undefined,
  noteRender: (generationId: string) => void = () => undefined,
) {
  return createAfterCommit({ queues, admit, noteRender })
}

/** Admits nothing, sends no webhook to a private address, knows no render times, and is never random. */
export function stepDeps({ context }: TestApp, settings: Partial<WorkerSettings> = {}): Omit<UpstreamDeps, 'upstream'> {
  return {
    ...context,
    batches: createMicroBatches(context),
    afterCommit: afterCommitOf(context),
    scheduleOf: () => null,
    isProven: () => true,
    webhooks: createGuardedClient({ allowedNetworks: [] }),
    settings: {
      poll: pollLimits(1_000, 1_000, 60_000, CONFIGURED.facts),
      upstreamTimeoutMs: 1_000,
      reconcileIntervalMs: 1_000,
      ...settings,
    },
    random: () => 0.5,
  }
}
