// How the API stops: started requests are answered, and later requests on an open connection get a 503.

import { Later } from '@reelqueue/contract/terms/problem'
import type { FastifyInstance } from 'fastify'

/** Another process may answer at once; this process may be back soon. */
const COME_BACK_S = 5

/**
 * Refuses requests after the stop began. Fastify closes only the connections idle at that moment. A connection busy
 * with a last request would stay open and delay the close for over a minute, so idle connections are closed every 50
 * ms.
 */
export function endGently(fastify: FastifyInstance): void {
  let ending = false
  fastify.addHook('preClose', async () => {
    ending = true
    const closing = setInterval(() => fastify.server.closeIdleConnections(), 50)
    fastify.server.once('close', () => clearInterval(closing))
    closing.unref()
  })
  fastify.addHook('onRequest', (_request, _reply, done) => done(ending ? new Later('ending', COME_BACK_S) : undefined))
}
