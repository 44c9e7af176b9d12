// The dependencies of the routes; the app uses no globals.

import type { AfterCommit, AppQueues } from '@reelqueue/shared/after-commit'
import type { QueueBackend } from '@reelqueue/shared/queues/queue-backend'
import type { BatchChanger } from '@reelqueue/shared/runtime/batch-changer'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { SlotsPerModel } from '@reelqueue/shared/store/admission/taken-slots'
import type { Database } from '@reelqueue/shared/store/database'
import type { AcceptRequest, Stored } from '@reelqueue/shared/store/intake/generations'
import type { Sealer } from '@reelqueue/shared/webhooks/seal'
import type { AskTask } from './ask-task.ts'
import type { BacklogLimit } from './backlog-limit.ts'
import type { KnownKeys } from './known-keys.ts'
import type { OperatorLogin } from './operator-login.ts'
import type { Waiter } from './waiter.ts'

export interface ApiDeps {
  readonly database: Database
  readonly keys: KnownKeys
  readonly operators: OperatorLogin
  /**
   * Stores a generation; null when the idempotency key is taken or the API key is not valid. Simultaneous requests
   * share a commit.
   */
  readonly accept: (request: AcceptRequest) => Promise<Stored | null>
  readonly backend: QueueBackend
  readonly queues: AppQueues
  readonly afterCommit: AfterCommit
  readonly waiter: Waiter
  readonly changer: BatchChanger
  readonly backlog: BacklogLimit
  readonly askTask: AskTask
  /** Seals the secrets of endpoints. */
  readonly sealer: Sealer
  readonly log: Logger
  readonly settings: ApiSettings
}

export interface ApiSettings {
  /** Public URL of the API, without a trailing slash; undefined: the address of each request. */
  readonly publicUrl: string | undefined
  /** CIDR blocks of the proxies with trusted forwarding headers. */
  readonly trustedProxies: readonly string[]
  /** Whether this process may submit: without a key, admission stops and readiness reports the reason. */
  readonly hasUpstreamKey: boolean
  /** Maximum number of generations in flight upstream. */
  readonly slots: number
  readonly slotsPerModel: SlotsPerModel
  readonly reconcileIntervalMs: number
  /** Whether image URLs may point into private networks, for a provider inside a private network. */
  readonly allowPrivateImageHosts: boolean
  /** Limit for each key in this process; undefined: no limit. */
  readonly requestsPerMinutePerKey: number | undefined
}
