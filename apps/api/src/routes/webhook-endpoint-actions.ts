// Actions on a webhook endpoint: rotate the secret, send a test, redeliver failed deliveries.

import { Problem } from '@reelqueue/contract/terms/problem'
import { deliveryJson, redeliverSince, toDeliveryJson } from '@reelqueue/contract/wire/webhook-delivery'
import { endpointWithSecret, overlapMs, secretRotation } from '@reelqueue/contract/wire/webhook-endpoint'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { findDelivery, redeliverFailed, someToWake } from '@reelqueue/shared/store/delivery-log'
import { testEndpoint } from '@reelqueue/shared/store/endpoint-events'
import { rotateSecret } from '@reelqueue/shared/store/endpoints'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import { z } from 'zod'
import type { ApiDeps } from '../deps.ts'
import { mustFindEndpoint, toJson } from '../endpoints.ts'
import { byId } from '../generations.ts'
import { problems } from '../openapi.ts'
import type { App } from '../typed-app.ts'

const tags = ['Webhooks']
const BODY_PROBLEMS = ['malformed_json', 'unsupported_media_type', 'validation_failed'] as const

export function webhookEndpointActionRoutes(app: App, { database, afterCommit, sealer }: ApiDeps): void {
  app.post(
    '/v1/webhook_endpoints/:id/rotate_secret',
    {
      schema: {
        tags,
        summary: 'Give an endpoint a new secret',
        description:
          'Until `previous_secret_until` the previous secret also signs, so that receivers can change over without losing a webhook. After several rotations all previous secrets sign.',
        params: byId,
        body: secretRotation,
        response: { 200: endpointWithSecret, ...problems('not_found', ...BODY_PROBLEMS) },
      },
    },
    async ({ project, params, body }) => {
      const { id } = await mustFindEndpoint(database, project, params.id)
      const secret = newWebhookSecret()
      const rotated = await rotateSecret(database, id, sealer.seal(secret, secretPlace(id)), overlapMs(body))
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
      const endpoint = await mustFindEndpoint(database, project, params.id)
      if (endpoint.disabledAt !== null) throw new Problem('endpoint_disabled')
      const deliveryId = await testEndpoint(database, endpoint)
      afterCommit({ deliveries: [deliveryId] })
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
        summary: 'Deliver again the failed deliveries since a time',
        params: byId,
        body: redeliverSince,
        response: {
          202: z.object({ redelivered: z.int().describe('The number of deliveries that are pending again.') }),
          ...problems('not_found', 'endpoint_disabled', ...BODY_PROBLEMS),
        },
      },
    },
    async ({ project, params, body }, reply) => {
      const endpoint = await mustFindEndpoint(database, project, params.id)
      if (endpoint.disabledAt !== null) throw new Problem('endpoint_disabled')
      const redelivered = await redeliverFailed(database, endpoint, new Date(body.since))
      afterCommit({ due: { deliver: await someToWake(database, endpoint.id) } })
      return reply.code(202).send({ redelivered })
    },
  )
}
