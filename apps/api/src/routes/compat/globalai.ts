// Routes in the provider's shape: a client changes only the base URL and gains durability.

import { normalForm } from '@reelqueue/contract/wire/generation-request'
import { toUpstreamTaskJson } from '@reelqueue/contract/wire/upstream-shape'
import type { ApiDeps } from '../deps.ts'
import { acceptGeneration, readWaiting } from '../generations.ts'
import type { Serve } from '../typed-app.ts'

export function upstreamShapeRoutes(serve: Serve<'key'>, deps: ApiDeps): void {
  serve(
    'createUpstreamShaped',
    async (request, reply) =>
      toUpstreamTaskJson(await acceptGeneration(deps, request, reply, '/v1/sora/videos', normalForm(request.body))),
    { looksAtKey: true },
  )

  serve('getUpstreamShaped', async (request) =>
    toUpstreamTaskJson(await readWaiting(deps, request, request.params.id, request.query.wait)),
  )
}
