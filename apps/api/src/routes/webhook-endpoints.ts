// /v1/webhook_endpoints: the URLs that receive a project's webhooks.

import { changedHeaders } from '@reelqueue/contract/terms/custom-headers'
import { newId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import {
  changeEndpoint,
  createEndpoint,
  deleteEndpoint,
  listEndpoints,
} from '@reelqueue/shared/store/deliveries/endpoints'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import type { ApiDeps } from '../deps.ts'
import { changedOr, mustFindEndpoint, sealedChanges, toJson } from '../endpoints.ts'
import { cursorOf, pageOf } from '../page.ts'
import type { Serve } from '../typed-app.ts'

export function webhookEndpointRoutes(serve: Serve<'key'>, { database, sealer }: ApiDeps): void {
  serve('createWebhookEndpoint', async ({ project, body }, reply) => {
    const secret = newWebhookSecret()
    const id = newId('endpoint')
    const { url, description, event_types, payload, headers } = body
    const row = {
      id,
      projectId: project.id,
      url,
      description: description ?? null,
      eventTypes: [...new Set(event_types ?? [])],
      sealedSecret: sealer.seal(secret, secretPlace(id)),
      payload: payload ?? undefined,
      sealedHeaders: changedHeaders({}, sealedChanges(sealer, id, headers ?? new Map())),
    }
    const made = await createEndpoint(database, row)
    if (made.kind !== 'created') throw new Problem(made.kind === 'taken' ? 'endpoint_exists' : 'too_many_endpoints')
    const location = `/v1/webhook_endpoints/${made.endpoint.id}`
    return reply
      .code(201)
      .header('location', location)
      .send({ ...toJson(made.endpoint), secret })
  })

  serve('listWebhookEndpoints', async ({ project, query: { limit, cursor } }) =>
    pageOf(await listEndpoints(database, project.id, limit + 1, cursorOf('endpoint', cursor)), limit, toJson),
  )

  serve('getWebhookEndpoint', async ({ project, params }) =>
    toJson(await mustFindEndpoint(database, project, params.id)),
  )

  serve('changeWebhookEndpoint', async ({ project, params, body }) => {
    const { event_types, headers: named, ...rest } = body
    const eventTypes = event_types && [...new Set(event_types)]
    const { id } = await mustFindEndpoint(database, project, params.id)
    const headers = named === null ? 'all' : named && sealedChanges(sealer, id, named)
    return toJson(changedOr(await changeEndpoint(database, id, { ...rest, eventTypes, headers })))
  })

  serve('deleteWebhookEndpoint', async ({ project, params }) => {
    const { id } = await mustFindEndpoint(database, project, params.id)
    await deleteEndpoint(database, id)
    return { id, object: 'webhook_endpoint' as const, deleted: true as const }
  })
}
