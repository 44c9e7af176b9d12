// The proxy between us and the configured provider.

import { chooseProxy, type ProxyChoice } from '@reelqueue/shared/providers/http/proxy-choice'
import type { Config } from '@reelqueue/shared/runtime/config'

export function proxyOf({ UPSTREAM_BASE_URL, HTTPS_PROXY, HTTP_PROXY, NO_PROXY }: Config): ProxyChoice {
  return chooseProxy(UPSTREAM_BASE_URL, { httpsProxy: HTTPS_PROXY, httpProxy: HTTP_PROXY, noProxy: NO_PROXY })
}
