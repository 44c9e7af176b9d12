// The configured provider, for workers and the API.

import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import type { Upstream } from '@reelqueue/shared/providers/port'
import type { Config } from '@reelqueue/shared/runtime/config'
import { proxyOf } from './provider-proxy.ts'

/** Null without a provider key. `timeoutMs`: the limit of a single request. */
export function upstreamOf(config: Config, timeoutMs = config.UPSTREAM_TIMEOUT_MS): Upstream | null {
  if (config.UPSTREAM_API_KEY === undefined) return null
  return createGlobalAi({
    baseUrl: config.UPSTREAM_BASE_URL,
    apiKey: config.UPSTREAM_API_KEY,
    timeoutMs,
    proxy: proxyOf(config).proxy,
  })
}
