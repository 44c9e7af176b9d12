// Routes in the provider's shape: a client changes only the base URL and gains durability.

import { normalForm, upstreamShapedRequest } from '@reelqueue/contract/wire/generation-request'
import { toUpstreamTaskJson, upstreamTaskJson } from '@reelqueue/contract/wire/upstream-shape'
import { z } from 'zod'
import type { ApiDeps } from '../deps.ts'
import { acceptGeneration, readWaiting, waitQuery } from '../generations.ts'
import { idempotencyHeaders } from '../idempotency.ts'
import { problems } from '../openapi.ts'
import type { App } from '../typed-app.ts'

export function upstreamShapeRoutes(app: App, deps: ApiDeps): void {
  app.post(
    '/v1/sora/videos',
    {
      config: { looksAtKey: true },
      schema: {
        tags: ['Upstream-shaped'],
        summary: 'Accept a generation, in the shape of the provider',
        headers: idempotencyHeaders,
        body: upstreamShapedRequest,
        response: {
          200: upstreamTaskJson,
          ...problems(
            'malformed_json',
            'idempotency_conflict',
            'backlog_full',
            'body_too_large',
            'unsupported_media_type',
            'validation_failed',
          ),
        },
      },
    },
    async (request, reply) =>
      toUpstreamTaskJson(await acceptGeneration(deps, request, reply, '/v1/sora/videos', normalForm(request.body))),
  )

  app.get(
    '/v1/result/:id',
    {
      schema: {
        tags: ['Upstream-shaped'],
        summary: 'Read a generation, in the shape of the provider',
        params: z.object({ id: z.string() }),
        querystring: waitQuery,
        response: { 200: upstreamTaskJson, ...problems('not_found', 'validation_failed') },
      },
    },
    async (request) => toUpstreamTaskJson(await readWaiting(deps, request, request.params.id, request.query.wait)),
  )
}
