// Closes connections with an unread body after the reply: a refused client must not go on sending for minutes.

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** Time for a client that writes before reading to reach the reply; the received bytes are discarded. */
export const UNREAD_BODY_MAX_MS = 2_000

/** Must be registered after every other hook that looks at replies. */
export function endUnreadBodies(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (!isUnderWay(request.raw)) return done(null, payload)
    // A small body arrives together with the headers, and often ends in this turn of the event loop.
    setImmediate(() => {
      if (isUnderWay(request.raw)) {
        reply.header('connection', 'close')
        throwAway(request.raw)
        endSoon(request.raw.socket)
      }
      done(null, payload)
    })
  })
}

function isUnderWay({ headers, complete }: IncomingMessage): boolean {
  const hasBody = headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0
  return hasBody && !complete
}

/** Discards the rest of the body. */
function throwAway(body: IncomingMessage): void {
  body.unpipe()
  body.removeAllListeners('data')
  body.removeAllListeners('readable')
  // A body that ends early is not an error here.
  body.on('error', () => undefined)
  body.resume()
}

/**
 * Node closes the socket right after the last reply. Bytes still arriving would then cause a reset, which may overtake
 * the reply. So only our side ends at once; the client's side ends later.
 */
function endSoon(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end()
    const timer = setTimeout(() => socket.destroy(), UNREAD_BODY_MAX_MS)
    socket.once('close', () => clearTimeout(timer))
  }
}
