// The dependencies of the steps; the app uses no globals.

import type { AfterCommit, AppQueues } from '@reelqueue/shared/after-commit'
import type { RenderProfile } from '@reelqueue/shared/domain/batch-estimate'
import type { PollLimits } from '@reelqueue/shared/domain/poll-plan'
import type { PollSchedule } from '@reelqueue/shared/domain/poll-schedule'
import type { Upstream } from '@reelqueue/shared/providers/port'
import type { BatchChanger } from '@reelqueue/shared/runtime/batch-changer'
import type { FanOuts } from '@reelqueue/shared/runtime/fan-outs'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import type { GuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import type { Sealer } from '@reelqueue/shared/webhooks/seal'
import type { MicroBatches } from './micro-batches.ts'

export interface StepDeps {
  readonly database: Database
  readonly batches: MicroBatches
  readonly queues: AppQueues
  readonly afterCommit: AfterCommit
  readonly log: Logger
  readonly changer: BatchChanger
  readonly fanOuts: FanOuts
  readonly webhooks: GuardedClient
  readonly sealer: Sealer
  readonly settings: WorkerSettings
  /** From 0 (inclusive) to 1 (exclusive): jitter. */
  readonly random: () => number
}

/** Additional dependencies of submitting and polling; absent without an API key of the provider. */
export interface UpstreamDeps extends StepDeps {
  readonly upstream: Upstream
  /** Whether the upstream has told this process a state of a task; a state proves the provider. */
  readonly isProven: () => boolean
  /** The poll schedule of a render profile; null with too little data. */
  readonly scheduleOf: (profile: RenderProfile) => PollSchedule | null
}

export interface WorkerSettings {
  readonly poll: PollLimits
  /** Time limit of a create request to the provider; polls have the shorter `pollTimeoutMs`. */
  readonly upstreamTimeoutMs: number
  readonly reconcileIntervalMs: number
  /** Retention of ended generations; undefined: no limit. */
  readonly retentionDays?: number | undefined
  /** Limit over all workers, for submissions and polls together; undefined: no limit. */
  readonly requestsPerMinute?: number | undefined
}
