// Opens what the API and the worker share. api.ts and worker.ts put either on top of it: a process loads only what it runs.

import { type AfterCommit, createAfterCommit } from './after-commit.ts'
import { CONFIGURED } from './providers/registry.ts'
import { openQueueBackend } from './queues/backend.ts'
import type { QueueBackend } from './queues/queue-backend.ts'
import { openQueues, type Queues } from './queues/queues.ts'
import { type Admitter, createAdmitter } from './runtime/admitter.ts'
import { type BatchChanger, createBatchChanger } from './runtime/batch-changer.ts'
import { type Config, required } from './runtime/config.ts'
import { createFanOuts, type FanOuts } from './runtime/fan-outs.ts'
import type { Logger } from './runtime/log.ts'
import { pageTurns } from './runtime/pages.ts'
import { admitGenerations } from './store/admission/admission.ts'
import { type Database, openDatabase } from './store/database.ts'
import { fanOutPage, nextToFanOut } from './store/deliveries/fan-out.ts'
import { finishBatches } from './store/intake/batches.ts'
import { changePage } from './store/lifecycle/batch-change-pages.ts'
import { claimChange, isChanging, releaseChange } from './store/lifecycle/batch-changes.ts'
import type { Sealer } from './webhooks/seal.ts'
import { sealerOf } from './webhooks/sealer.ts'

/** The parts that API and worker stand on; `config` has `DATABASE_URL` and `SECRET_KEY`. */
export interface AppContext {
  readonly config: Config
  readonly log: Logger
  readonly database: Database
  readonly backend: QueueBackend
  readonly queues: Queues
  readonly sealer: Sealer
  readonly admitter: Admitter
  /** What follows the commits of the API and of changes of batches; a worker has its own. */
  readonly afterCommit: AfterCommit
  readonly changer: BatchChanger
  readonly fanOuts: FanOuts
  /** To be called when nothing stands on it any more. */
  close(): Promise<void>
}

/** Opens the house. @throws ConfigError when `DATABASE_URL` or `SECRET_KEY` is missing */
export function openAppContext(config: Config, log: Logger): AppContext {
  const databaseUrl = required(config, 'DATABASE_URL')
  const sealer = sealerOf(config)
  const stopping = new AbortController()
  const onDatabaseError = warnUntil(stopping.signal, log, 'postgres.error', 'Postgres: see DATABASE_URL')
  const serverOfQueues = config.REDIS_URL === undefined ? 'Postgres: see DATABASE_URL' : 'Redis: see REDIS_URL'
  const onQueueError = warnUntil(stopping.signal, log, 'queue.error', serverOfQueues)
  const database = openDatabase(databaseUrl, onDatabaseError, config.DATABASE_CONNECTIONS_MAX, ({ error, ...row }) =>
    log.error({ event: 'row.unstorable', ...row, err: error }),
  )
  const backend = openQueueBackend({
    databaseUrl,
    redisUrl: config.REDIS_URL,
    connectionsMax: config.QUEUE_CONNECTIONS_MAX,
    onError: onQueueError,
  })
  const queues = openQueues(backend, onQueueError, (queue, count, cause) =>
    log.warn({ event: 'queue.dropped', queue, count, err: String(cause) }),
  )
  const admitter = createAdmitter({
    // Without a key to pay with, admitted rows would only wait for a submit step that never runs.
    admit: async () =>
      config.UPSTREAM_API_KEY === undefined
        ? { admitted: [], againMs: null }
        : await admitGenerations(
            database,
            CONFIGURED,
            config.UPSTREAM_MAX_IN_FLIGHT,
            config.UPSTREAM_MAX_IN_FLIGHT_PER_MODEL,
          ),
    enqueue: (admitted) => afterCommit({ due: { submit: admitted } }),
    onError: (error) => log.warn({ event: 'admit.failed', err: error }),
    stopping: stopping.signal,
  })
  const afterCommit = createAfterCommit({
    queues,
    admit: () => admitter.admit(),
    // Only polls hear how long a render took.
    noteRender: () => undefined,
  })
  const turns = pageTurns()
  const fanOuts = createFanOuts({
    turns,
    next: (after) => nextToFanOut(database, after),
    page: (projectId, rows) => fanOutPage(database, projectId, rows),
    enqueue: (deliveries) => afterCommit({ deliveries, isPage: true }),
    onError: (projectId, error) => log.error({ event: 'fan_out.failed', projectId, err: error }),
    stopping: stopping.signal,
  })
  const changer = createBatchChanger({
    turns,
    claim: (which) => claimChange(database, which),
    release: (batchId) => releaseChange(database, batchId),
    isChanging: (batchId) => isChanging(database, batchId),
    page: (batchId, cursor) => changePage(database, batchId, cursor, CONFIGURED.facts.renderMaxMs),
    async afterPage({ batchId, projectId }, { moved, isOver }) {
      afterCommit({ moved, isPage: true })
      if (!isOver) return
      fanOuts.start(projectId)
      afterCommit({ deliveries: await finishBatches(database, [batchId]) })
    },
    onError: (batchId, error) => log.error({ event: 'batch.change_failed', batchId, err: error }),
    stopping: stopping.signal,
  })
  return {
    config,
    log,
    database,
    backend,
    queues,
    sealer,
    admitter,
    afterCommit,
    changer,
    fanOuts,
    async close() {
      stopping.abort()
      await changer.idle()
      await fanOuts.idle()
      await admitter.idle()
      await queues.close()
      await backend.close()
      await database.close()
    },
  }
}

/** Logs connection trouble (the log itself leaves out what repeats), and none of what stopping causes. */
function warnUntil(
  stopping: AbortSignal,
  log: Logger,
  event: 'postgres.error' | 'queue.error',
  server: string,
): (error: Error) => void {
  return (error) => {
    if (!stopping.aborted) log.warn({ event, err: error.message, server })
  }
}
