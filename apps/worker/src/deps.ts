// What the steps are given: nothing in this app reaches for anything else.

import type { Kind } from '@reelqueue/shared/domain/batch-estimate'
import type { PollLimits } from '@reelqueue/shared/domain/poll-plan'
import type { PollSchedule } from '@reelqueue/shared/domain/poll-schedule'
import type { Upstream } from '@reelqueue/shared/providers/port'
import type { Queues } from '@reelqueue/shared/queues/queues'
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
  readonly queues: Queues
  readonly log: Logger
  /** Moves queued generations on while slots are free; returns at once. */
  readonly admit: () => void
  readonly changer: BatchChanger
  readonly fanOuts: FanOuts
  /** Takes note of a generation that ended, for the statistics. */
  readonly noteRender: (generationId: string) => void
  readonly webhooks: GuardedClient
  readonly sealer: Sealer
  readonly settings: WorkerSettings
  /** From 0 (inclusive) to 1 (exclusive): jitter. */
  readonly random: () => number
}

/** What submitting and polling need besides: absent when there is no key to pay with. */
export interface UpstreamDeps extends StepDeps {
  readonly upstream: Upstream
  /** Whether it has told this process of a task: then it is the provider. */
  readonly isProven: () => boolean
  /** When to ask about clips of a kind; null where too little is known of it. */
  readonly scheduleOf: (kind: Kind) => PollSchedule | null
}

export interface WorkerSettings {
  readonly poll: PollLimits
  /** Total time of one create request to the provider; polls have `pollTimeoutMs` of it. */
  readonly upstreamTimeoutMs: number
  readonly reconcileIntervalMs: number
  /** How long what has ended is kept; undefined: for ever. */
  readonly retentionDays?: number | undefined
  /** Over all workers, submissions and polls together; undefined: no limit. */
  readonly requestsPerMinute?: number | undefined
}
