// bull-board at /admin/queues, behind the operator's login.

import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import type { JobQueue } from '@reelqueue/shared/queues/backend'
import { QUEUE_NAMES, type QueueName } from '@reelqueue/shared/queues/queues'
import type { FastifyError, FastifyInstance } from 'fastify'
import type { ApiDeps } from '../deps.ts'
import { replyWithProblem } from '../problem-reply.ts'
import { publicPathOf } from '../public-address.ts'

/** bull-board's types name the Redis backend, though it shows either. */
type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0]

const PATH = '/admin/queues'

/**
 * The queue of the lanes may only be looked at: promoted, removed or paused by one click, they would no longer come by, and no
 * generation would be polled until reconcile has laid them again. The other queues hold hints, which any row makes anew.
 */
function boardQueueOf(name: QueueName, queue: JobQueue): BullMQAdapter {
  return new BullMQAdapter(queue as BoardQueue, { readOnlyMode: name === 'poll' })
}

export async function queueDashboard(
  app: FastifyInstance,
  { queues, operators: login, settings }: ApiDeps,
): Promise<void> {
  const adapter = new FastifyAdapter()
  // Where the browser finds what the page asks for; the routes themselves stand at PATH.
  adapter.setBasePath(publicPathOf(settings.publicUrl) + PATH)
  createBullBoard({
    queues: QUEUE_NAMES.map((name) => boardQueueOf(name, queues.queues[name])),
    serverAdapter: adapter,
    options: { uiConfig: { boardTitle: 'Reelqueue', hideDocsLink: true } },
  })
  await app.register(async (operators) => {
    operators.addHook('onRequest', async (request, reply) => {
      try {
        await login.require(request, reply)
      } catch (error) {
        // bull-board's own error handler would make a 500 of it.
        return replyWithProblem(error as FastifyError, request, reply)
      }
    })
    await operators.register(adapter.registerPlugin(), { prefix: PATH })
    // Until the console stands here, the queues are what an operator wants to see.
    operators.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect(PATH))
  })
}
