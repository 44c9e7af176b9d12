// Connects to the provider through a proxy, always by a tunnel (CONNECT), for http too. So a reply of the proxy cannot
// be mistaken for the provider's reply, and after a failure before the tunnel certainly nothing was sent.

import { type Agent, type buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici'
import { withMendedAnswers } from './tolerant-connect.ts'

/** Limit for reaching the proxy, and again for the proxy's reply. */
const CONNECT_TIMEOUT_MS = 10_000

/** A proxy's failure to open a tunnel. Only the code is shown: messages might quote the proxy's URL. */
class ProxyError extends Error {
  override readonly name = 'ProxyError'
  readonly code: string

  constructor(code: string, cause?: unknown) {
    super(code, { cause })
    this.code = code
  }
}

/** Connections to the proxy, each used for one CONNECT. */
class ProxyPool extends Pool {
  /**
   * Wraps every error: undici would reconnect without end after some errors that look like errors of another
   * connection.
   */
  override connect(options: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData>
  override connect(
    options: Dispatcher.ConnectOptions,
    callback: (error: Error | null, data: Dispatcher.ConnectData) => void,
  ): void
  override connect(options: Dispatcher.ConnectOptions): Promise<Dispatcher.ConnectData> {
    return super.connect(options).then(
      (answer) => {
        if (answer.statusCode === 200) return answer
        answer.socket.on('error', () => undefined).destroy()
        throw new ProxyError(`PROXY_STATUS_${answer.statusCode}`)
      },
      (error: unknown) => {
        throw new ProxyError(`PROXY_${codeOf(error)}`, error)
      },
    )
  }
}

function codeOf(error: unknown): string {
  const code = error instanceof Error && 'code' in error ? String(error.code) : 'FAILED'
  return /^\w{1,50}$/.test(code) ? code : 'FAILED'
}

/** An open tunnel is used like any other connection to the provider. */
function mended(connect: Pool.Options['connect']): buildConnector.connector {
  if (typeof connect !== 'function') throw new Error('undici makes tunnels by a function')
  return withMendedAnswers(connect)
}

/**
 * Dispatches through `proxy`, a URL with optional user name and password; `options` apply to the connections to the
 * provider.
 */
export function createTunnelAgent(proxy: string, options: Agent.Options): ProxyAgent {
  const url = new URL(proxy)
  const [user, password] = [url.username, url.password].map(decodeURIComponent)
  url.username = ''
  url.password = ''
  return new ProxyAgent({
    ...options,
    uri: url.href,
    ...(user && { token: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }),
    factory: (origin, given: Pool.Options) => new Pool(origin, { ...given, connect: mended(given.connect) }),
    clientFactory: (origin, given) =>
      new ProxyPool(origin, { ...given, headersTimeout: CONNECT_TIMEOUT_MS, bodyTimeout: CONNECT_TIMEOUT_MS }),
  })
}
