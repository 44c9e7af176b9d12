// The body of each webhook as a schema: for the OpenAPI document and for receivers. `webhook-body.ts` makes the bodies.

import { z } from 'zod'
import { BATCH_COMPLETED, ENDPOINT_DISABLED, ENDPOINT_TEST } from '../terms/event-types.ts'
import { batchJson } from './batch.ts'
import { generationJson } from './generation.ts'

const thinGeneration = generationJson
  .pick({
    id: true,
    object: true,
    status: true,
    batch_id: true,
    custom_id: true,
    attempt: true,
    created_at: true,
    finished_at: true,
  })
  .extend({ href: z.string().describe('Where to read the generation.') })
  .meta({ id: 'ThinGeneration' })

const thinBatch = batchJson
  .pick({
    id: true,
    object: true,
    status: true,
    parent_batch_id: true,
    total: true,
    counts: true,
    created_at: true,
    completed_at: true,
  })
  .extend({ href: z.string().describe('Where to read the batch.') })
  .meta({ id: 'ThinBatch' })

/** The event of one type. Fields that only a thin body has are optional. */
function eventOf<Type extends string, Data extends z.ZodType>(type: Type, data: Data) {
  return z.object({
    type: z.literal(type),
    timestamp: z.iso.datetime(),
    sequence: z.int().describe('The number of the event among the events of its subject.'),
    data,
    id: z.string().optional().describe('Thin bodies only: the id of the event.'),
    payload: z.literal('thin').optional().describe('Thin bodies only.'),
    payload_reason: z
      .enum(['requested', 'too_large'])
      .optional()
      .describe('Thin bodies only: the endpoint asked for thin bodies, or the full body is longer than 100,000 bytes.'),
  })
}

const generation = z.union([generationJson, thinGeneration])
const batch = z.union([batchJson, thinBatch])

export const webhookEvent = z
  .discriminatedUnion('type', [
    eventOf('generation.processing', generation),
    eventOf('generation.completed', generation),
    eventOf('generation.failed', generation),
    eventOf('generation.cancelled', generation),
    eventOf(BATCH_COMPLETED, batch),
    eventOf(
      ENDPOINT_DISABLED,
      z.object({
        endpoint_id: z.string(),
        url: z.string(),
        reason: z.string(),
        failing_since: z.iso.datetime().nullable(),
      }),
    ),
    eventOf(ENDPOINT_TEST, z.object({ endpoint_id: z.string() })),
  ])
  .meta({ id: 'WebhookEvent' })
