// /v1/webhook_deliveries: the log of attempts, and redelivery.

import { Problem } from '@reelqueue/contract/terms/problem'
import {
  DELIVERY_STATES,
  deliveryJson,
  deliveryWithLog,
  toDeliveryJson,
  toDeliveryWithLog,
} from '@reelqueue/contract/wire/webhook-delivery'
import { findDelivery, listDeliveries, redeliver } from '@reelqueue/shared/store/delivery-log'
import { findEndpoint } from '@reelqueue/shared/store/endpoints'
import type { CallingProject } from '@reelqueue/shared/store/projects'
import { z } from 'zod'
import type { ApiDeps } from '../deps.ts'
import { byId } from '../generations.ts'
import { problems } from '../openapi.ts'
import { cursorOf, listOf, pageOf, pageQuery } from '../page.ts'
import type { App } from '../typed-app.ts'

const tags = ['Webhooks']

const listQuery = pageQuery.extend({
  state: z.enum(DELIVERY_STATES).optional(),
  endpoint_id: z.string().optional(),
  generation_id: z.string().optional(),
  batch_id: z.string().optional().describe('Deliveries of the batch itself, not of its generations.'),
})

export function webhookDeliveryRoutes(app: App, { database, afterCommit }: ApiDeps): void {
  const mustFind = async (project: CallingProject, id: string) => {
    const delivery = await findDelivery(database, project.id, id)
    if (!delivery) throw new Problem('not_found')
    return delivery
  }

  app.get(
    '/v1/webhook_deliveries',
    {
      schema: {
        tags,
        summary: 'List deliveries, newest first, each with its last attempt',
        querystring: listQuery,
        response: { 200: listOf(deliveryJson), ...problems('validation_failed') },
      },
    },
    async ({ project, query }) => {
      const { limit, cursor, state, endpoint_id: endpointId, generation_id: generationId, batch_id: batchId } = query
      const filters = { state, endpointId, generationId, batchId }
      const rows = await listDeliveries(database, project.id, filters, limit + 1, cursorOf('delivery', cursor))
      return pageOf(rows, limit, toDeliveryJson)
    },
  )

  app.get(
    '/v1/webhook_deliveries/:id',
    {
      schema: {
        tags,
        summary: 'Read a delivery with all its attempts',
        params: byId,
        response: { 200: deliveryWithLog, ...problems('not_found') },
      },
    },
    async ({ project, params }) => toDeliveryWithLog(await mustFind(project, params.id)),
  )

  app.post(
    '/v1/webhook_deliveries/:id/redeliver',
    {
      schema: {
        tags,
        summary: 'Deliver again, from the first step of the schedule',
        description: 'The same event with the same `webhook-id`, also if the delivery had succeeded before.',
        params: byId,
        response: { 202: deliveryWithLog, ...problems('not_found', 'endpoint_disabled') },
      },
    },
    async ({ project, params }, reply) => {
      const { id, endpointId } = await mustFind(project, params.id)
      const endpoint = endpointId === null ? null : await findEndpoint(database, project.id, endpointId)
      if (endpointId !== null && (endpoint === null || endpoint.disabledAt !== null))
        throw new Problem('endpoint_disabled')
      const wakes = await redeliver(database, id)
      afterCommit({ due: { deliver: [{ id, wakes }] } })
      const location = `/v1/webhook_deliveries/${id}`
      return reply
        .code(202)
        .header('location', location)
        .send(toDeliveryWithLog(await mustFind(project, id)))
    },
  )
}
