// What a step needs, made of a house's own parts, for tests that call steps by hand.

import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import type { StepDeps, WorkerSettings } from '@reelqueue/worker/deps'
import { createMicroBatches } from '@reelqueue/worker/micro-batches'
import type { TestHouse } from './house.ts'

/** Admits nothing, sends no webhook anywhere private, and is never random. */
export function stepDeps({ house }: TestHouse, settings: Partial<WorkerSettings> = {}): StepDeps {
  return {
    ...house,
    batches: createMicroBatches(house),
    admit: () => undefined,
    noteRender: () => undefined,
    webhooks: createGuardedClient({ allowedNetworks: [] }),
    settings: {
      poll: { intervalMinMs: 1_000, intervalMaxMs: 1_000, deadlineMs: 60_000 },
      upstreamTimeoutMs: 1_000,
      reconcileIntervalMs: 1_000,
      ...settings,
    },
    random: () => 0.5,
  }
}
