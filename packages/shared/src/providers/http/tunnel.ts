// The way to the provider through a proxy: always a tunnel (CONNECT), also for http. So nothing that the proxy itself answers can be
// taken for the provider's answer, and whatever goes wrong before the tunnel stands was certainly not sent.

import { type Agent, type buildConnector, type Dispatcher, Pool, ProxyAgent } from 'undici'
import { withMendedAnswers } from './tolerant-connect.ts'

/** For the proxy to be reached, and again for its answer. */
const CONNECT_TIMEOUT_MS = 10_000

/** What a proxy did instead of making a tunnel. The code is all that is shown: messages might quote its URL. */
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
   * undici connects once more, without end, after some errors of a connection that it takes for another's: no error is handed on
   * as it came.
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

/** The end of a tunnel is a connection to the provider like any other. */
function mended(connect: Pool.Options['connect']): buildConnector.connector {
  if (typeof connect !== 'function') throw new Error('undici makes tunnels by a function')
  return withMendedAnswers(connect)
}

/**
 * Dispatches through the proxy at `proxy`, a URL that may have a user name and a password; `options` are those of the connections to
 * the provider.
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
