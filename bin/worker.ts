// Builds a worker on an open app context.

import type { AppContext } from '@reelqueue/shared/app-context'
import { pollLimits } from '@reelqueue/shared/domain/poll-plan'
import { proxyName } from '@reelqueue/shared/providers/http/proxy-choice'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import type { Config } from '@reelqueue/shared/runtime/config'
import { createGuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { createMicroBatches } from '@reelqueue/worker/micro-batches'
import { startWorker } from '@reelqueue/worker/worker'
import { proxyOf } from './provider-proxy.ts'
import { upstreamOf } from './upstream.ts'

/** Starts a worker. Closing the worker first lets running submissions end and be recorded, then closes the upstream too. */
export function startWorkerIn(context: AppContext, upstream = upstreamOf(context.config)): { close(): Promise<void> } {
  const { config, log, database, backend, queues, sealer, admitter, changer, fanOuts } = context
  const webhooks = createGuardedClient({
    allowedNetworks: config.WEBHOOK_ALLOWED_NETWORKS,
    allowHttp: config.WEBHOOK_ALLOW_HTTP,
  })
  const deps = {
    database,
    batches: createMicroBatches(context),
    queues,
    log,
    admit: () => admitter.admit(),
    changer,
    fanOuts,
    webhooks,
    sealer,
    settings: {
      poll: pollLimits(
        config.POLL_INTERVAL_MIN_MS,
        config.POLL_INTERVAL_MAX_MS,
        config.GENERATION_DEADLINE_MS,
        CONFIGURED.facts,
      ),
      upstreamTimeoutMs: config.UPSTREAM_TIMEOUT_MS,
      reconcileIntervalMs: config.RECONCILE_INTERVAL_MS,
      retentionDays: config.RETENTION_DAYS,
      requestsPerMinute: config.UPSTREAM_REQUESTS_PER_MINUTE,
    },
    random: Math.random,
  }
  const worker = startWorker(deps, backend, upstream)
  const { proxy } = proxyOf(config)
  const through = proxy === null ? undefined : proxyName(proxy)
  log.info({ event: 'worker.started', queue: backend.name, submits: upstream !== null, proxy: through })
  return {
    async close() {
      await worker.close()
      await upstream?.close()
      await webhooks.close()
    },
  }
}

/** How long a stop may take: a running submission is worth waiting for. */
export function stopBoundMs(config: Config): number {
  return config.UPSTREAM_TIMEOUT_MS + 15_000
}
