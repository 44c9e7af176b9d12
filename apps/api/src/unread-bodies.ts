// Ends connections whose request was answered before its body had come: whoever was refused must not go on sending for minutes.

import type { IncomingMessage } from 'node:http'
import type { Socket } from 'node:net'
import type { FastifyInstance } from 'fastify'

/** A client that writes before it reads has this long to come to the reply: what it sends meanwhile is thrown away. */
export const UNREAD_BODY_MAX_MS = 2_000

/** Must be registered after every other hook that looks at replies. */
export function endUnreadBodies(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (!isUnderWay(request.raw)) return done(null, payload)
    // Many come to their end in this turn of the event loop: a small body arrives together with its headers.
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

/** Nobody reads the body any more. */
function throwAway(body: IncomingMessage): void {
  body.unpipe()
  body.removeAllListeners('data')
  body.removeAllListeners('readable')
  // Its end, which may be none, concerns nobody either.
  body.on('error', () => undefined)
  body.resume()
}

/**
 * Node closes the connection at once when its last reply is written. What is still under way from the client would then be answered by
 * a reset, which may overtake the reply. So only our side ends; the client's has a moment.
 */
function endSoon(socket: Socket): void {
  socket.destroySoon = () => {
    socket.end()
    const timer = setTimeout(() => socket.destroy(), UNREAD_BODY_MAX_MS)
    socket.once('close', () => clearTimeout(timer))
  }
}
