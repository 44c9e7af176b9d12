// Requests a minute for each API key, if the operator sets a limit. Replies show the remaining requests.

import { createHash } from 'node:crypto'
import fastifyRateLimit from '@fastify/rate-limit'
import { Problem } from '@reelqueue/contract/terms/problem'
import type { FastifyInstance, FastifyReply } from 'fastify'
import { keyOf } from './login.ts'

const WINDOW_S = 60

/** Runs after the key is known and before the body is read. `max` undefined: no limit and no headers. */
export async function limitKeys(keyed: FastifyInstance, max: number | undefined): Promise<void> {
  if (max === undefined) return
  await keyed.register(fastifyRateLimit, {
    max,
    timeWindow: WINDOW_S * 1_000,
    keyGenerator: (request) =>
      createHash('sha256')
        .update(keyOf(request) ?? '')
        .digest('base64'),
    errorResponseBuilder: () => new Problem('rate_limited'),
  })
  keyed.addHook('onSend', async (_request, reply) => tellLimit(reply, max))
}

/** Headers of draft-ietf-httpapi-ratelimit-headers-10: `r` requests are left for the next `t` seconds. */
function tellLimit(reply: FastifyReply, max: number): void {
  const left = reply.getHeader('x-ratelimit-remaining')
  const seconds = reply.getHeader('x-ratelimit-reset')
  if (left === undefined || seconds === undefined) return
  reply.header('ratelimit-policy', `"key";q=${max};w=${WINDOW_S}`).header('ratelimit', `"key";r=${left};t=${seconds}`)
}
