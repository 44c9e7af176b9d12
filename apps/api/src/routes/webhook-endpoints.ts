// /v1/webhook_endpoints: where a project's webhooks go.

import { deliveryJson, redeliverSince, toDeliveryJson } from '@reelqueue/shared/contract/webhook-delivery'
import {
  endpointChange,
  endpointDeleted,
  endpointJson,
  endpointRequest,
  endpointWithSecret,
  overlapMs,
  secretRotation,
  toEndpointJson,
} from '@reelqueue/shared/contract/webhook-endpoint'
import { Problem } from '@reelqueue/shared/domain/problem'
import { findDelivery, redeliverFailed, someToWake } from '@reelqueue/shared/store/delivery-log'
import {
  changeEndpoint,
  createEndpoint,
  deleteEndpoint,
  findEndpoint,
  listEndpoints,
  rotateSecret,
  testEndpoint,
  type WebhookEndpoint,
} from '@reelqueue/shared/store/endpoints'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import { signingStill } from '@reelqueue/shared/store/rotation'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { z } from 'zod'
import type { ApiDeps } from '../deps.ts'
import { byId } from '../generations.ts'
import { problems } from '../openapi.ts'
import { cursorOf, listOf, pageOf, pageQuery } from '../page.ts'
import type { App } from '../typed-app.ts'

const tags = ['Webhooks']
const BODY_PROBLEMS = ['malformed_json', 'unsupported_media_type', 'validation_failed'] as const

export function webhookEndpointRoutes(app: App, { database, queues, sealer }: ApiDeps): void {
  const mustFind = async (project: CallingProject, id: string): Promise<WebhookEndpoint> => {
    const endpoint = await findEndpoint(database, project.id, id)
    if (!endpoint) throw new Problem('not_found')
    return endpoint
  }
  const toJson = (endpoint: WebhookEndpoint) =>
    toEndpointJson({ ...endpoint, signingStill: signingStill(endpoint.previousSecrets, new Date()) })

  app.post(
    '/v1/webhook_endpoints',
    {
      schema: {
        tags,
        summary: 'Add an endpoint',
        description: 'The reply shows its secret, this once: it verifies every webhook (Standard Webhooks 1.0.0).',
        body: endpointRequest,
        response: { 201: endpointWithSecret, ...problems('endpoint_exists', 'too_many_endpoints', ...BODY_PROBLEMS) },
      },
    },
    async ({ project, body }, reply) => {
      const secret = newWebhookSecret()
      const { url, description = null, event_types } = body
      const eventTypes = [...new Set(event_types ?? [])]
      const row = { projectId: project.id, url, description, eventTypes, sealedSecret: sealer.seal(secret) }
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
    async ({ project, params }) => toJson(await mustFind(project, params.id)),
  )

  app.patch(
    '/v1/webhook_endpoints/:id',
    {
      schema: {
        tags,
        summary: 'Change, disable or enable an endpoint',
        description:
          'A new URL holds for what is still to be delivered too. What was pending when an endpoint is disabled has failed; it can be delivered again.',
        params: byId,
        body: endpointChange,
        response: { 200: endpointJson, ...problems('not_found', 'endpoint_exists', ...BODY_PROBLEMS) },
      },
    },
    async ({ project, params, body }) => {
      const { url, description, event_types, enabled } = body
      const eventTypes = event_types && [...new Set(event_types)]
      const changes = { url, description, eventTypes, enabled }
      const { id } = await mustFind(project, params.id)
      const changed = await changeEndpoint(database, id, changes)
      if (changed.kind !== 'changed') throw new Problem(changed.kind === 'taken' ? 'endpoint_exists' : 'not_found')
      return toJson(changed.endpoint)
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
      const { id } = await mustFind(project, params.id)
      await deleteEndpoint(database, id)
      return { id, object: 'webhook_endpoint' as const, deleted: true as const }
    },
  )

  app.post(
    '/v1/webhook_endpoints/:id/rotate_secret',
    {
      schema: {
        tags,
        summary: 'Give an endpoint another secret',
        description:
          'Until `previous_secret_until` the secret before it signs too, so that receivers can change over without losing a webhook; after another rotation meanwhile, all of them do.',
        params: byId,
        body: secretRotation,
        response: { 200: endpointWithSecret, ...problems('not_found', ...BODY_PROBLEMS) },
      },
    },
    async ({ project, params, body }) => {
      const { id } = await mustFind(project, params.id)
      const secret = newWebhookSecret()
      const rotated = await rotateSecret(database, id, sealer.seal(secret), overlapMs(body))
      if (!rotated) throw new Problem('not_found')
      return { ...toJson(rotated), secret }
    },
  )

  app.post(
    '/v1/webhook_endpoints/:id/test',
    {
      schema: {
        tags,
        summary: 'Send an endpoint an `endpoint.test` event',
        params: byId,
        response: { 202: deliveryJson, ...problems('not_found', 'endpoint_disabled') },
      },
    },
    async ({ project, params }, reply) => {
      const endpoint = await mustFind(project, params.id)
      if (endpoint.disabledAt !== null) throw new Problem('endpoint_disabled')
      const deliveryId = await testEndpoint(database, endpoint)
      queues.wake('deliver', [{ id: deliveryId, wakes: 0 }])
      const delivery = await findDelivery(database, project.id, deliveryId)
      if (!delivery) throw new Error(`the delivery ${deliveryId} is gone`)
      return reply.code(202).header('location', `/v1/webhook_deliveries/${deliveryId}`).send(toDeliveryJson(delivery))
    },
  )

  app.post(
    '/v1/webhook_endpoints/:id/redeliver',
    {
      schema: {
        tags,
        summary: 'Deliver again whatever failed since a time',
        params: byId,
        body: redeliverSince,
        response: {
          202: z.object({ redelivered: z.int().describe('How many are pending again.') }),
          ...problems('not_found', 'endpoint_disabled', ...BODY_PROBLEMS),
        },
      },
    },
    async ({ project, params, body }, reply) => {
      const endpoint = await mustFind(project, params.id)
      if (endpoint.disabledAt !== null) throw new Problem('endpoint_disabled')
      const redelivered = await redeliverFailed(database, endpoint, new Date(body.since))
      queues.wake('deliver', await someToWake(database, endpoint.id))
      return reply.code(202).send({ redelivered })
    },
  )
}
