// How the API ends: what it has begun to hear is answered, what comes later on a connection that is still open is sent elsewhere.

import { Later } from '@reelqueue/shared/domain/problem'
import type { FastifyInstance } from 'fastify'

/** Another process may answer at once; this one may be back soon. */
const COME_BACK_S = 5

/**
 * Refuses what comes once the end has begun. Fastify closes the connections that are idle then; one that answers a last request just
 * then would be kept alive, and the close would wait for it for over a minute: it is closed as soon as it falls idle.
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
