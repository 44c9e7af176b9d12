// Routes in the wire shape of GlobalAI, for clients of GlobalAI that change nothing but their base URL.

import { globalAiTaskJson } from '../../wire/compat/globalai.ts'
import { globalAiRequest } from '../../wire/generation-request.ts'
import { byId, idempotencyHeaders, waitQuery } from '../../wire/parameters.ts'
import { CREATION_PROBLEMS } from '../generations.ts'
import type { Route } from '../route.ts'

export const globalAiRoutes = {
  createGlobalAiTask: {
    method: 'POST',
    path: '/v1/sora/videos',
    caller: 'key',
    tag: 'GlobalAI',
    summary: 'Accept a generation, in the shape of GlobalAI',
    headers: idempotencyHeaders,
    body: globalAiRequest,
    replies: { 200: globalAiTaskJson },
    problems: CREATION_PROBLEMS,
  },
  getGlobalAiTask: {
    method: 'GET',
    path: '/v1/result/{id}',
    caller: 'key',
    tag: 'GlobalAI',
    summary: 'Read a generation, in the shape of GlobalAI',
    params: byId,
    query: waitQuery,
    replies: { 200: globalAiTaskJson },
    problems: ['not_found', 'validation_failed'],
  },
} as const satisfies Record<string, Route>
