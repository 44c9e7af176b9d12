// The configured provider, for workers and the API.

import type { Upstream } from '@reelqueue/shared/providers/port'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import type { Config } from '@reelqueue/shared/runtime/config'
import { proxyOf } from './provider-proxy.ts'

/** Null without a provider key. `timeoutMs`: the limit of a single request. */
export function upstreamOf(config: Config, timeoutMs = config.UPSTREAM_TIMEOUT_MS): Upstream | null {
  if (config.UPSTREAM_API_KEY === undefined) return null
  return CONFIGURED.open({
    baseUrl: config.UPSTREAM_BASE_URL,
    apiKey: config.UPSTREAM_API_KEY,
    timeoutMs,
    proxy: proxyOf(config).proxy,
  })
}
