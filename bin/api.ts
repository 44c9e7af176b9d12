// Builds the API on an open app context.

import { buildApp } from '@reelqueue/api/app'
import { createAskTask } from '@reelqueue/api/ask-task'
import { createBacklogLimit } from '@reelqueue/api/backlog-limit'
import type { ApiDeps } from '@reelqueue/api/deps'
import { createKnownKeys } from '@reelqueue/api/known-keys'
import { createOperatorLogin } from '@reelqueue/api/operator-login'
import { createWaiter } from '@reelqueue/api/waiter'
import type { AppContext } from '@reelqueue/shared/app-context'
import { microBatch } from '@reelqueue/shared/runtime/micro-batch'
import { takeTurns } from '@reelqueue/shared/runtime/turns'
import { halfOf } from '@reelqueue/shared/store/database'
import { countWaiting, endedAmong } from '@reelqueue/shared/store/intake/generation-reads'
import { acceptGenerations } from '@reelqueue/shared/store/intake/generations'
import { findProjectsByKeys } from '@reelqueue/shared/store/projects'
import { isCommonFailure } from '@reelqueue/shared/store/unavailable'
import { explainListenError } from './command.ts'
import { upstreamOf } from './upstream.ts'

export interface RunningApi {
  /** The API's own address, without a trailing slash. */
  readonly url: string
  /** The address for users: PUBLIC_URL, or the API's own address when PUBLIC_URL is absent. */
  readonly publicUrl: string
  close(): Promise<void>
}

/** Short, because a caller of the API waits for the answer. */
const ASK_TIMEOUT_MS = 10_000

/** Starts the API. @throws UserError when its port is taken */
export async function startApi(context: AppContext): Promise<RunningApi> {
  const { config, log, database, backend, queues, afterCommit, changer, sealer } = context
  const waiter = createWaiter(
    (ids) => endedAmong(database, ids),
    (error) => log.warn({ event: 'wait.failed', err: error }),
  )
  // Options of the micro-batches that combine concurrent requests.
  const onError = (error: unknown) => log.error({ event: 'microbatch.failed', err: error })
  const together = { sizeMax: 100, everyMs: 2, isCommon: isCommonFailure, onError }
  const upstream = upstreamOf(config, Math.min(config.UPSTREAM_TIMEOUT_MS, ASK_TIMEOUT_MS))
  const deps: ApiDeps = {
    database,
    keys: createKnownKeys(microBatch({ ...together, run: (hashes) => findProjectsByKeys(database, hashes) })),
    operators: createOperatorLogin(context, {
      operatorPassword: config.OPERATOR_PASSWORD,
      viewerPassword: config.VIEWER_PASSWORD,
      publicUrl: config.PUBLIC_URL,
    }),
    accept: microBatch({
      ...together,
      run: (requests) => acceptGenerations(database, requests),
      singleRow: {
        run: async (request) => (await acceptGenerations(database, [request]))[0] ?? null,
        turns: takeTurns(halfOf(database)),
      },
    }),
    backend,
    queues,
    waiter,
    afterCommit,
    changer,
    backlog: createBacklogLimit(config.QUEUED_MAX_PER_PROJECT, (projectId, upTo) =>
      countWaiting(database, projectId, upTo),
    ),
    askTask: createAskTask({ database, upstream, requestsPerMinute: config.UPSTREAM_REQUESTS_PER_MINUTE }),
    sealer,
    log,
    settings: {
      publicUrl: config.PUBLIC_URL,
      trustedProxies: config.TRUSTED_PROXIES,
      hasUpstreamKey: config.UPSTREAM_API_KEY !== undefined,
      slots: config.UPSTREAM_MAX_IN_FLIGHT,
      slotsPerModel: config.UPSTREAM_MAX_IN_FLIGHT_PER_MODEL,
      reconcileIntervalMs: config.RECONCILE_INTERVAL_MS,
      allowPrivateImageHosts: config.IMAGE_ALLOW_PRIVATE_HOSTS,
      requestsPerMinutePerKey: config.REQUESTS_PER_MINUTE_PER_KEY,
    },
  }
  const app = await buildApp(deps)
  let url: string
  try {
    url = await app.listen({ host: config.HOST, port: config.PORT, listenTextResolver: (address) => address })
  } catch (error) {
    await app.close()
    await upstream?.close()
    throw explainListenError(error, config.HOST, config.PORT, 'PORT')
  }
  log.info({ event: 'api.started', url, publicUrl: config.PUBLIC_URL, queue: backend.name })
  return {
    url,
    publicUrl: config.PUBLIC_URL ?? url,
    async close() {
      waiter.close()
      await app.close()
      await upstream?.close()
    },
  }
}
