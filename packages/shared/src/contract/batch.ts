// A batch as callers see it, and what they may ask for.

import { z } from 'zod'
import { STATUSES, type Status } from '../domain/status.ts'
import { generationDefaults, metadata, webhookUrl } from './generation-request.ts'

export const BATCH_ITEMS_MAX = 1_000

export const batchRequest = z
  .strictObject({
    defaults: generationDefaults.nullish().describe('Fields for items that do not name their own.'),
    // Checked one by one, completed by `defaults`, once they are known to be few: millions of wrong ones would fill the memory.
    items: z
      .array(z.unknown().meta({ type: 'object' }))
      .min(1)
      .describe('1 to 1,000 generation requests, completed by `defaults`.'),
    webhook_url: webhookUrl.nullish().describe('Inherited by items without their own; also gets `batch.completed`.'),
    metadata: metadata.nullish(),
  })
  .meta({ id: 'BatchRequest' })

const counts = z.object(Object.fromEntries(STATUSES.map((status) => [status, z.int()])) as Record<Status, z.ZodInt>)

export const batchJson = z
  .object({
    id: z.string(),
    object: z.literal('batch'),
    total: z.int(),
    counts: counts.describe('Generations by status; they add up to `total`.'),
    webhook_url: z.string().nullable(),
    metadata: z.record(z.string(), z.unknown()).nullable(),
    created_at: z.iso.datetime(),
    completed_at: z.iso.datetime().nullable().describe('When the last of its generations ended.'),
  })
  .meta({ id: 'Batch' })
export type BatchJson = z.output<typeof batchJson>

export interface BatchFacts {
  readonly id: string
  readonly total: number
  readonly webhookUrl: string | null
  readonly metadata: unknown
  readonly createdAt: Date
  readonly completedAt: Date | null
}

export function toBatchJson(row: BatchFacts, byStatus: Readonly<Record<Status, number>>): BatchJson {
  return {
    id: row.id,
    object: 'batch',
    total: row.total,
    counts: byStatus,
    webhook_url: row.webhookUrl,
    metadata: row.metadata as Record<string, unknown> | null,
    created_at: row.createdAt.toISOString(),
    completed_at: row.completedAt?.toISOString() ?? null,
  }
}

/** What the event of a batch's completion recorded. */
const batchSnapshot = z.object({ completed_at: z.iso.datetime(), counts: counts.partial() })

/** The batch as it was when the event happened. */
export function batchAtEvent(row: BatchFacts, eventData: unknown): BatchJson {
  const { completed_at, counts: recorded } = batchSnapshot.parse(eventData)
  const byStatus = Object.fromEntries(STATUSES.map((status) => [status, recorded[status] ?? 0])) as Record<
    Status,
    number
  >
  return { ...toBatchJson(row, byStatus), completed_at }
}
