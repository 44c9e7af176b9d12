// A reverse proxy like nginx. Its two styles were compared with nginx 1.22: `plain` is a bare `proxy_pass` (HTTP/1.0-like, the Host is the
// target's, forwarding headers of the client pass through), `careful` has the usual proxy_set_header lines.

import { once } from 'node:events'
import { createServer, request as httpRequest } from 'node:http'

export interface ProxyStyle {
  readonly style: 'plain' | 'careful'
  /** The path prefix of the proxy, such as `/reelqueue`; empty: all paths. */
  readonly path?: string
  /** Whether the proxy removes the prefix, like `proxy_pass http://target/;`. */
  readonly strips?: boolean
}

export interface ReverseProxy {
  /** Without the path prefix, and without a trailing slash. */
  readonly origin: string
  close(): Promise<void>
}

/** Starts the proxy on a port chosen by the system, in front of `target` (scheme, host and port). */
export async function startReverseProxy(
  target: string,
  { style, path = '', strips = false }: ProxyStyle,
): Promise<ReverseProxy> {
  const server = createServer((incoming, outgoing) => {
    const url = incoming.url ?? '/'
    if (!url.startsWith(`${path}/`)) {
      outgoing.writeHead(404).end()
      return
    }
    const { host = '', connection: _, 'x-forwarded-for': forwardedFor, ...rest } = incoming.headers
    const client = incoming.socket.remoteAddress ?? ''
    const headers = {
      ...rest,
      ...(style === 'plain'
        ? { host: new URL(target).host, ...(forwardedFor && { 'x-forwarded-for': forwardedFor }) }
        : {
            host,
            'x-forwarded-host': host,
            'x-forwarded-proto': 'https',
            'x-forwarded-for': [forwardedFor, client].filter(Boolean).join(', '),
          }),
    }
    const onward = httpRequest(target + (strips ? url.slice(path.length) : url), {
      method: incoming.method,
      agent: false,
      headers,
    })
    onward.on('response', (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      answer.pipe(outgoing)
    })
    onward.on('error', () => outgoing.writeHead(502).end())
    incoming.pipe(onward)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return {
    origin: `http://127.0.0.1:${address.port}`,
    async close() {
      server.close().closeAllConnections()
      await once(server, 'close')
    },
  }
}
