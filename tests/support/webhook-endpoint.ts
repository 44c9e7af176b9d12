// Servers on loopback in the role of a customer's webhook endpoint, well-behaved or not. Each server listens on a port chosen by the
// system; `closeEndpoints` (in afterEach) closes every server with its connections.

import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'

const closers: (() => Promise<unknown>)[] = []

export async function closeEndpoints(): Promise<void> {
  for (const close of closers.splice(0)) await close()
}

interface Endpoint {
  readonly port: number
  readonly url: string
  readonly seen: { connections: number; requests: { headers: http.IncomingHttpHeaders; url: string; body: string }[] }
}

async function listen<S extends net.Server>(server: S): Promise<number> {
  const sockets = new Set<net.Socket>()
  server.on('connection', (socket: net.Socket) => {
    sockets.add(socket.on('close', () => sockets.delete(socket)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    const closed = once(server, 'close')
    server.close()
    for (const socket of sockets) socket.destroy()
    return closed
  })
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}

/** An HTTP endpoint that records every complete request before replying. */
export async function endpoint(reply: (response: http.ServerResponse) => void = (response) => response.end()) {
  const seen: Endpoint['seen'] = { connections: 0, requests: [] }
  const server = http.createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request.setEncoding('utf8')) body += chunk
    seen.requests.push({ headers: request.headers, url: request.url ?? '', body })
    reply(response)
  })
  server.on('connection', () => {
    seen.connections += 1
  })
  const port = await listen(server)
  return { port, url: `http://127.0.0.1:${port}/hook?a=b`, seen } satisfies Endpoint
}

/** A server that answers the first bytes of every connection with `bytes`, or breaks the connection. */
export async function rawEndpoint(bytes: string | null): Promise<string> {
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined)
    socket.once('data', () => (bytes === null ? socket.resetAndDestroy() : socket.end(bytes)))
  })
  return `http://127.0.0.1:${await listen(server)}/`
}

/** A port of loopback without a listener. */
export async function closedPort(): Promise<number> {
  const server = net.createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  await once(server, 'close')
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
