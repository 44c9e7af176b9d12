// /v1/webhook_deliveries: the log of attempts, and redelivery.

import { Problem } from '@reelqueue/contract/terms/problem'
import { toDeliveryJson, toDeliveryWithLog } from '@reelqueue/contract/wire/webhook-delivery'
import { findDelivery, listDeliveries } from '@reelqueue/shared/store/deliveries/delivery-log'
import { findEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { redeliver } from '@reelqueue/shared/store/deliveries/redelivery'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import type { ApiDeps } from '../deps.ts'
import { cursorOf, pageOf } from '../page.ts'
import type { Serve } from '../typed-app.ts'

export function webhookDeliveryRoutes(serve: Serve<'key'>, { database, afterCommit }: ApiDeps): void {
  const mustFind = async (project: CallingProject, id: string) => {
    const delivery = await findDelivery(database, project.id, id)
    if (!delivery) throw new Problem('not_found')
    return delivery
  }

  serve('listWebhookDeliveries', async ({ project, query }) => {
    const { limit, cursor, state, endpoint_id: endpointId, generation_id: generationId, batch_id: batchId } = query
    const filters = { state, endpointId, generationId, batchId }
    const rows = await listDeliveries(database, project.id, filters, limit + 1, cursorOf('delivery', cursor))
    return pageOf(rows, limit, toDeliveryJson)
  })

  serve('getWebhookDelivery', async ({ project, params }) => toDeliveryWithLog(await mustFind(project, params.id)))

  serve('redeliverWebhook', async ({ project, params }, reply) => {
    const { id, endpointId } = await mustFind(project, params.id)
    const endpoint = endpointId === null ? null : await findEndpoint(database, project.id, endpointId)
    if (endpointId !== null && (endpoint === null || endpoint.disabledAt !== null))
      throw new Problem('endpoint_disabled')
    const dispatchCount = await redeliver(database, id)
    afterCommit({ due: { deliver: [{ id, dispatchCount }] } })
    const location = `/v1/webhook_deliveries/${id}`
    return reply
      .code(202)
      .header('location', location)
      .send(toDeliveryWithLog(await mustFind(project, id)))
  })
}
