// A forward proxy that opens tunnels like a company's proxy, or fails in the way chosen by a test.

import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import { connect, type Socket } from 'node:net'

/** `act` answers a CONNECT; absent: the proxy opens a tunnel. */
export async function startConnectProxy(act?: (client: Socket, request: IncomingMessage) => void) {
  /** The received requests: `CONNECT host:port`, or method and URL. */
  const asked: string[] = []
  const logins: (string | undefined)[] = []
  const sockets = new Set<Socket>()
  const keep = (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => socket.destroy()).on('close', () => sockets.delete(socket))
  }
  const server = createServer((request, reply) => {
    asked.push(`${request.method} ${request.url}`)
    reply.writeHead(502).end('a page of the proxy')
  })
  server.on('connection', keep)
  server.on('connect', (request, client) => {
    asked.push(`CONNECT ${request.url}`)
    logins.push(request.headers['proxy-authorization'])
    if (act) act(client as Socket, request)
    else openTunnel(client as Socket, request)
  })
  /** `onOpen` is called when the tunnel is open and the client has its answer. */
  function openTunnel(client: Socket, { url = '' }: IncomingMessage, onOpen?: () => void): void {
    const target = new URL(`http://${url}`)
    const onward = connect(Number(target.port || 80), target.hostname, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n', onOpen)
      onward.pipe(client)
      client.pipe(onward)
    })
    keep(onward)
    client.on('close', () => onward.destroy())
    onward.on('close', () => client.destroy())
  }
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return {
    host: `127.0.0.1:${address.port}`,
    asked,
    logins,
    openTunnel,
    async stop() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
