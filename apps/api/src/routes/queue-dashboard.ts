// bull-board at /admin/queues, behind the operator's login.

import { createBullBoard } from '@bull-board/api'
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter'
import { FastifyAdapter } from '@bull-board/fastify'
import type { JobQueue } from '@reelqueue/shared/queues/queue-backend'
import { QUEUE_NAMES, type QueueName } from '@reelqueue/shared/queues/queues'
import type { FastifyError, FastifyInstance } from 'fastify'
import type { ApiDeps } from '../deps.ts'
import { replyWithProblem } from '../problem-reply.ts'
import { publicPathOf } from '../public-address.ts'

/** bull-board's types name the Redis backend, but bull-board shows both backends. */
type BoardQueue = ConstructorParameters<typeof BullMQAdapter>[0]

const PATH = '/admin/queues'

/**
 * The queue of the pollers is read-only. A click could promote, remove or pause the pollers; no generation would be
 * polled until reconcile creates the pollers again. Jobs of the other queues can be created again from any row.
 */
function boardQueueOf(name: QueueName, queue: JobQueue): BullMQAdapter {
  return new BullMQAdapter(queue as BoardQueue, { readOnlyMode: name === 'poll' })
}

export async function queueDashboard(
  app: FastifyInstance,
  { queues, operators: login, settings }: ApiDeps,
): Promise<void> {
  const adapter = new FastifyAdapter()
  // The base path seen by the browser; the routes are registered at PATH.
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
        // bull-board's error handler would turn the refusal into a 500.
        return replyWithProblem(error as FastifyError, request, reply)
      }
    })
    await operators.register(adapter.registerPlugin(), { prefix: PATH })
    // Until the console exists, `/` leads to the queues.
    operators.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect(PATH))
  })
}
