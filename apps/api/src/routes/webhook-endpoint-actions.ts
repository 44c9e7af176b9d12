// Actions on a webhook endpoint: rotate the secret, send a test, redeliver failed deliveries.

import { Problem } from '@reelqueue/contract/terms/problem'
import { toDeliveryJson } from '@reelqueue/contract/wire/webhook-delivery'
import { overlapMs } from '@reelqueue/contract/wire/webhook-endpoint'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { findDelivery } from '@reelqueue/shared/store/deliveries/delivery-log'
import { testEndpoint } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { rotateSecret } from '@reelqueue/shared/store/deliveries/endpoints'
import { redeliverFailed, someToEnqueue } from '@reelqueue/shared/store/deliveries/redelivery'
import { newWebhookSecret } from '@reelqueue/shared/webhooks/sign'
import type { ApiDeps } from '../deps.ts'
import { mustFindEndpoint, toJson } from '../endpoints.ts'
import type { Serve } from '../typed-app.ts'

export function webhookEndpointActionRoutes(serve: Serve<'key'>, { database, afterCommit, sealer }: ApiDeps): void {
  serve('rotateWebhookEndpointSecret', async ({ project, params, body }) => {
    const { id } = await mustFindEndpoint(database, project, params.id)
    const secret = newWebhookSecret()
    const rotated = await rotateSecret(database, id, sealer.seal(secret, secretPlace(id)), overlapMs(body))
    if (!rotated) throw new Problem('not_found')
    return { ...toJson(rotated), secret }
  })

  serve('testWebhookEndpoint', async ({ project, params }, reply) => {
    const endpoint = await mustFindEndpoint(database, project, params.id)
    if (endpoint.disabledAt !== null) throw new Problem('endpoint_disabled')
    const deliveryId = await testEndpoint(database, endpoint)
    afterCommit({ deliveries: [deliveryId] })
    const delivery = await findDelivery(database, project.id, deliveryId)
    if (!delivery) throw new Error(`the delivery ${deliveryId} is gone`)
    return reply.code(202).header('location', `/v1/webhook_deliveries/${deliveryId}`).send(toDeliveryJson(delivery))
  })

  serve('redeliverToWebhookEndpoint', async ({ project, params, body }, reply) => {
    const endpoint = await mustFindEndpoint(database, project, params.id)
    if (endpoint.disabledAt !== null) throw new Problem('endpoint_disabled')
    const redelivered = await redeliverFailed(database, endpoint, new Date(body.since))
    afterCommit({ due: { deliver: await someToEnqueue(database, endpoint.id) } })
    return reply.code(202).send({ redelivered })
  })
}
