// /v1/webhook_endpoints: the URLs that receive a project's webhooks.

import { changedHeaders } from '@reelqueue/contract/terms/custom-headers'
import { newId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import {
  endpointChange,
  endpointDeleted,
  endpointJson,
  endpointRequest,
  endpointWithSecret,
} from '@reelqueue/contract/wire/webhook-endpoint'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { changeEndpoint, createEndpoint, deleteEndpoint, listEndpoints } from '@reelqueue/shared/store/endpoints'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import type { ApiDeps } from '../deps.ts'
import { changedOr, mustFindEndpoint, sealedChanges, toJson } from '../endpoints.ts'
import { byId } from '../generations.ts'
import { problems } from '../openapi.ts'
import { cursorOf, listOf, pageOf, pageQuery } from '../page.ts'
import type { App } from '../typed-app.ts'

const tags = ['Webhooks']
const BODY_PROBLEMS = ['malformed_json', 'unsupported_media_type', 'validation_failed'] as const

export function webhookEndpointRoutes(app: App, { database, sealer }: ApiDeps): void {
  app.post(
    '/v1/webhook_endpoints',
    {
      schema: {
        tags,
        summary: 'Add an endpoint',
        description: 'Only this reply shows the secret, which verifies every webhook (Standard Webhooks 1.0.0).',
        body: endpointRequest,
        response: { 201: endpointWithSecret, ...problems('endpoint_exists', 'too_many_endpoints', ...BODY_PROBLEMS) },
      },
    },
    async ({ project, body }, reply) => {
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
    },
  )

  app.get(
    '/v1/webhook_endpoints',
    {
      schema: {
        tags,
        summary: 'List endpoints, newest first',
        querystring: pageQuery,
        response: { 200: listOf(endpointJson), ...problems('validation_failed') },
      },
    },
    async ({ project, query: { limit, cursor } }) =>
      pageOf(await listEndpoints(database, project.id, limit + 1, cursorOf('endpoint', cursor)), limit, toJson),
  )

  app.get(
    '/v1/webhook_endpoints/:id',
    {
      schema: {
        tags,
        summary: 'Read an endpoint',
        params: byId,
        response: { 200: endpointJson, ...problems('not_found') },
      },
    },
    async ({ project, params }) => toJson(await mustFindEndpoint(database, project, params.id)),
  )

  app.patch(
    '/v1/webhook_endpoints/:id',
    {
      schema: {
        tags,
        summary: 'Change, disable or enable an endpoint',
        description:
          'A new URL also holds for pending deliveries. Pending deliveries of an endpoint that is disabled have failed; they can be delivered again.',
        params: byId,
        body: endpointChange,
        response: { 200: endpointJson, ...problems('not_found', 'endpoint_exists', ...BODY_PROBLEMS) },
      },
    },
    async ({ project, params, body }) => {
      const { event_types, headers: named, ...rest } = body
      const eventTypes = event_types && [...new Set(event_types)]
      const { id } = await mustFindEndpoint(database, project, params.id)
      const headers = named === null ? 'all' : named && sealedChanges(sealer, id, named)
      return toJson(changedOr(await changeEndpoint(database, id, { ...rest, eventTypes, headers })))
    },
  )

  app.delete(
    '/v1/webhook_endpoints/:id',
    {
      schema: {
        tags,
        summary: 'Delete an endpoint; its deliveries stay in the log',
        params: byId,
        response: { 200: endpointDeleted, ...problems('not_found') },
      },
    },
    async ({ project, params }) => {
      const { id } = await mustFindEndpoint(database, project, params.id)
      await deleteEndpoint(database, id)
      return { id, object: 'webhook_endpoint' as const, deleted: true as const }
    },
  )
}
