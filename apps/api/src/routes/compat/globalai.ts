// Routes in the shape of GlobalAI: a client changes only the base URL and gains durability.

import { toGlobalAiTaskJson } from '@reelqueue/contract/wire/compat/globalai'
import { normalForm } from '@reelqueue/contract/wire/generation-request'
import type { ApiDeps } from '../../deps.ts'
import { acceptGeneration, readWaiting } from '../../generations.ts'
import type { Serve } from '../../typed-app.ts'

export function globalAiRoutes(serve: Serve<'key'>, deps: ApiDeps): void {
  serve(
    'createGlobalAiTask',
    async (request, reply) =>
      toGlobalAiTaskJson(await acceptGeneration(deps, request, reply, '/v1/sora/videos', normalForm(request.body))),
    { looksAtKey: true },
  )

  serve('getGlobalAiTask', async (request) =>
    toGlobalAiTaskJson(await readWaiting(deps, request, request.params.id, request.query.wait)),
  )
}
