// Routes in the wire shape of the provider, for clients of the provider that change nothing but their base URL.

import { upstreamShapedRequest } from '../wire/generation-request.ts'
import { byId, idempotencyHeaders, waitQuery } from '../wire/parameters.ts'
import { upstreamTaskJson } from '../wire/upstream-shape.ts'
import { CREATION_PROBLEMS } from './generations.ts'
import type { Route } from './route.ts'

export const upstreamShapeRoutes = {
  createUpstreamShaped: {
    method: 'POST',
    path: '/v1/sora/videos',
    caller: 'key',
    tag: 'Upstream-shaped',
    summary: 'Accept a generation, in the shape of the provider',
    headers: idempotencyHeaders,
    body: upstreamShapedRequest,
    replies: { 200: upstreamTaskJson },
    problems: CREATION_PROBLEMS,
  },
  getUpstreamShaped: {
    method: 'GET',
    path: '/v1/result/{id}',
    caller: 'key',
    tag: 'Upstream-shaped',
    summary: 'Read a generation, in the shape of the provider',
    params: byId,
    query: waitQuery,
    replies: { 200: upstreamTaskJson },
    problems: ['not_found', 'validation_failed'],
  },
} as const satisfies Record<string, Route>
