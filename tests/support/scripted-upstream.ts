// A real HTTP server in the role of the provider that answers each request as a test prescribes. The server knows nothing of the adapter:
// the received requests are the evidence, so the server records a request before misbehaving.

import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import type { RenderRequest } from '@reelqueue/shared/domain/render-request'

interface Received {
  readonly method: string
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
  readonly socket: Socket
}

/** A request for tests where the content does not matter. */
export const PLAIN_REQUEST: RenderRequest = {
  model: 'openAiSora2Plus',
  prompt: 'a red fox',
  size: null,
  seconds: null,
  inputReference: null,
}

export type Act = (response: ServerResponse, received: Received) => void

/** Serves on a free loopback port; after the last act, further requests repeat the last act. */
export async function startScriptedUpstream() {
  const received: Received[] = []
  const sockets = new Set<Socket>()
  let acts: Act[] = []
  const server = createServer(async (request, response) => {
    let body = ''
    for await (const chunk of request) body += chunk
    const { method = '', url = '', headers, socket } = request
    const one = { method, url, headers, body, socket }
    received.push(one)
    const act = acts.length > 1 ? acts.shift() : acts[0]
    act?.(response, one)
  })
  server.on('connection', (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo

  return {
    port,
    origin: `http://127.0.0.1:${port}`,
    received,
    sockets,
    /** Deletes the received requests, and plays these acts from now on. */
    play(...next: Act[]) {
      received.length = 0
      acts = next
    },
    async stop() {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}

/** Answers with JSON, or with a text unchanged. */
export function answer(status: number, body: unknown, headers: Record<string, string> = {}): Act {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return (response) => response.writeHead(status, headers).end(text)
}

/** Reads the request and never answers. */
export const hang: Act = () => undefined

/** Closes the connection without an answer. */
export const closeSilently: Act = (_response, { socket }) => socket.destroy()

/** Resets the connection without an answer. */
export const reset: Act = (_response, { socket }) => socket.resetAndDestroy()

/** Sends the headers and the beginning of a body, then resets. */
export function resetMidway(status: number, text: string, promised = text.length + 100): Act {
  return (response, { socket }) => {
    response.writeHead(status, { 'content-length': String(promised) })
    response.write(text, () => socket.resetAndDestroy())
  }
}

/** Sends the headers, then one byte every few milliseconds until the client closes the connection. */
export function drip(status: number): Act {
  return (response) => {
    response.writeHead(status)
    const timer = setInterval(() => response.write(' '), 10)
    response.on('close', () => clearInterval(timer))
  }
}

/** Sends `bytes` bytes of JSON. */
export function flood(status: number, bytes: number): Act {
  return (response) => response.writeHead(status).end(`{"id":"${'x'.repeat(bytes)}"}`)
}
