// Opens what the API and the worker share, and puts either or both on top of it.

import { buildApp } from '@reelqueue/api/app'
import type { ApiDeps } from '@reelqueue/api/deps'
import { createWaiter } from '@reelqueue/api/waiter'
import { areQueuesMigrated, migrateQueues, openQueueBackend, type QueueBackend } from '@reelqueue/shared/queues/backend'
import { openQueues, type Queues } from '@reelqueue/shared/queues/queues'
import { type Admitter, createAdmitter } from '@reelqueue/shared/runtime/admitter'
import { type Config, required } from '@reelqueue/shared/runtime/config'
import type { Logger } from '@reelqueue/shared/runtime/log'
import { admitGenerations } from '@reelqueue/shared/store/admission'
import { type Database, openDatabase } from '@reelqueue/shared/store/database'
import { endedAmong } from '@reelqueue/shared/store/generations'
import { migrate, pendingMigrations } from '@reelqueue/shared/store/migrate'
import { createGlobalAi } from '@reelqueue/shared/upstream/globalai'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { createSealer, type Sealer } from '@reelqueue/shared/webhooks/seal'
import { startWorker } from '@reelqueue/worker/worker'
import { explainListenError, UserError } from './command.ts'

/** The parts that API and worker stand on; `config` has `DATABASE_URL` and `SECRET_KEY`. */
export interface House {
  readonly config: Config
  readonly log: Logger
  readonly database: Database
  readonly backend: QueueBackend
  readonly queues: Queues
  readonly sealer: Sealer
  readonly admitter: Admitter
  /** To be called when nothing stands on it any more. */
  close(): Promise<void>
}

/** Opens the house. @throws ConfigError when `DATABASE_URL` or `SECRET_KEY` is missing */
export function openHouse(config: Config, log: Logger): House {
  const databaseUrl = required(config, 'DATABASE_URL')
  const sealer = createSealer(Buffer.from(required(config, 'SECRET_KEY'), 'base64'))
  const stopping = new AbortController()
  const onDatabaseError = warnSparingly(log, 'postgres.error', 'Postgres: see DATABASE_URL', stopping.signal)
  const serverOfQueues = config.REDIS_URL === undefined ? 'Postgres: see DATABASE_URL' : 'Redis: see REDIS_URL'
  const onQueueError = warnSparingly(log, 'queue.error', serverOfQueues, stopping.signal)
  const database = openDatabase(databaseUrl, onDatabaseError)
  const backend = openQueueBackend({ databaseUrl, redisUrl: config.REDIS_URL, onError: onQueueError })
  const queues = openQueues(backend, onQueueError, (queue, count, cause) =>
    log.warn({ event: 'queue.dropped', queue, count, err: String(cause) }),
  )
  const admitter = createAdmitter({
    // Without a key to pay with, admitted rows would only wait for a submit step that never runs.
    admit: async () =>
      config.UPSTREAM_API_KEY === undefined
        ? { ids: [], more: false }
        : await admitGenerations(database, config.UPSTREAM_MAX_IN_FLIGHT),
    wake: (ids) =>
      queues.wake(
        'submit',
        ids.map((id) => ({ id, wakes: 0 })),
      ),
    onError: (error) => log.warn({ event: 'admit.failed', err: error }),
  })
  return {
    config,
    log,
    database,
    backend,
    queues,
    sealer,
    admitter,
    async close() {
      stopping.abort()
      await admitter.idle()
      await queues.close()
      await backend.close()
      await database.close()
    },
  }
}

/** The same trouble reaches every connection, many times a second: one line in this long says it. */
const SAME_WARNING_MS = 10_000

/** Logs connection trouble, each message once in a while, and none of what stopping causes. */
function warnSparingly(log: Logger, event: string, server: string, stopping: AbortSignal): (error: Error) => void {
  const saidAt = new Map<string, number>()
  return ({ message }) => {
    const now = performance.now()
    if (stopping.aborted || now - (saidAt.get(message) ?? Number.NEGATIVE_INFINITY) < SAME_WARNING_MS) return
    // Messages name jobs at times: what is kept of them must not grow.
    if (saidAt.size > 100) saidAt.clear()
    saidAt.set(message, now)
    log.warn({ event, err: message, server })
  }
}

/** Prepares a database: Reelqueue's tables by Prisma's engine, then BullMQ's. @returns the migrations applied */
export async function prepareDatabase(databaseUrl: string): Promise<string[]> {
  const { applied } = await migrate(databaseUrl)
  await migrateQueues(databaseUrl)
  return applied
}

/** @throws UserError when `npm run migrate` has to be run first */
export async function refuseWhilePending(config: Config): Promise<void> {
  const databaseUrl = required(config, 'DATABASE_URL')
  await refuseOldTables(databaseUrl)
  // Without Redis the queues have tables too, and BullMQ never looks again once it missed them.
  if (config.REDIS_URL === undefined && !(await areQueuesMigrated(databaseUrl))) throw notPrepared("the queues' tables")
}

/** The same for what needs no queues. @throws UserError when `npm run migrate` has to be run first */
export async function refuseOldTables(databaseUrl: string): Promise<void> {
  const pending = await pendingMigrations(databaseUrl)
  if (pending.length > 0) throw notPrepared(pending.join(', '))
}

function notPrepared(missing: string): UserError {
  return new UserError(`The database lacks ${missing}. Run \`npm run migrate\` first.`)
}

const WEAK_PASSWORD_CHARS = 8

export interface RunningApi {
  /** Where the API answers, without a trailing slash. */
  readonly url: string
  close(): Promise<void>
}

/** Starts the API. @throws UserError when its port is taken */
export async function startApi(house: House): Promise<RunningApi> {
  const { config, log, database, backend, queues, admitter } = house
  const waiter = createWaiter(
    (ids) => endedAmong(database, ids),
    (error) => log.warn({ event: 'wait.failed', err: error }),
  )
  const deps: ApiDeps = {
    database,
    backend,
    queues,
    waiter,
    admit: () => admitter.admit(),
    log,
    settings: {
      operatorPassword: config.OPERATOR_PASSWORD,
      viewerPassword: config.VIEWER_PASSWORD,
      hasUpstreamKey: config.UPSTREAM_API_KEY !== undefined,
      reconcileIntervalMs: config.RECONCILE_INTERVAL_MS,
    },
  }
  if (config.OPERATOR_PASSWORD !== undefined && config.OPERATOR_PASSWORD.length < WEAK_PASSWORD_CHARS) {
    log.warn({
      event: 'config.weak',
      variable: 'OPERATOR_PASSWORD',
      hint: `fewer than ${WEAK_PASSWORD_CHARS} characters`,
    })
  }
  const app = await buildApp(deps)
  let url: string
  try {
    url = await app.listen({ host: config.HOST, port: config.PORT, listenTextResolver: (address) => address })
  } catch (error) {
    await app.close()
    throw explainListenError(error, config.HOST, config.PORT, 'PORT')
  }
  log.info({ event: 'api.started', url, queue: backend.name })
  return {
    url,
    async close() {
      waiter.close()
      await app.close()
    },
  }
}

/** Starts a worker. Closing it lets submissions under way end and be recorded. */
export function startWorkerIn(house: House): { close(): Promise<void> } {
  const { config, log, database, backend, queues, sealer, admitter } = house
  const upstream =
    config.UPSTREAM_API_KEY === undefined
      ? null
      : createGlobalAi({
          baseUrl: config.UPSTREAM_BASE_URL,
          apiKey: config.UPSTREAM_API_KEY,
          timeoutMs: config.UPSTREAM_TIMEOUT_MS,
        })
  const webhooks = createGuardedClient({ allowedNetworks: config.WEBHOOK_ALLOWED_NETWORKS })
  const deps = {
    database,
    queues,
    log,
    admit: () => admitter.admit(),
    webhooks,
    sealer,
    settings: {
      poll: {
        intervalMinMs: config.POLL_INTERVAL_MIN_MS,
        intervalMaxMs: config.POLL_INTERVAL_MAX_MS,
        deadlineMs: config.GENERATION_DEADLINE_MS,
      },
      upstreamTimeoutMs: config.UPSTREAM_TIMEOUT_MS,
      reconcileIntervalMs: config.RECONCILE_INTERVAL_MS,
    },
    random: Math.random,
  }
  const worker = startWorker(deps, backend, upstream)
  log.info({ event: 'worker.started', queue: backend.name, submits: upstream !== null })
  return {
    async close() {
      await worker.close()
      await upstream?.close()
      await webhooks.close()
    },
  }
}

/** How long a stop may take: a submission under way is worth waiting for. */
export function stopBoundMs(config: Config): number {
  return config.UPSTREAM_TIMEOUT_MS + 15_000
}
