// A batch as callers see a batch, and the requests about a batch.

import { z } from 'zod'
import { STATUSES, type Status } from '../terms/status.ts'
import { findTextFaults } from '../text/json-text.ts'
import { generationDefaults, metadata, webhookUrl } from './generation-request.ts'
import { findUnstorableText, TEXT_RULES } from './refusal.ts'

export const BATCH_ITEMS_MAX = 50_000

export const batchRequest = z
  .strictObject({
    defaults: generationDefaults.nullish().describe('Fields for items that do not set them.'),
    // Completed by `defaults` and checked one by one, after the number of items is known to be small: millions of wrong
    // items would fill the memory.
    items: z
      .array(z.unknown().meta({ type: 'object' }))
      .min(1)
      .describe('1 to 50,000 generation requests, completed by `defaults`.'),
    webhook_url: webhookUrl.nullish().describe('For items without a `webhook_url`; also gets `batch.completed`.'),
    metadata: metadata.nullish().describe('Any JSON object up to 16 KB; replies repeat it unchanged.'),
  })
  .meta({
    id: 'BatchRequest',
    example: {
      defaults: { model: 'openAiSora2Plus', aspect_ratio: '9:16', seconds: 4 },
      items: [
        { prompt: 'A fox in the snow', custom_id: 'fox' },
        { prompt: 'An owl at night', custom_id: 'owl' },
      ],
    },
  })

/** A query field that contains JSON. */
function jsonText<T extends z.ZodType>(schema: T) {
  return z
    .string()
    .transform((text, context) => {
      let value: unknown
      try {
        value = JSON.parse(text)
      } catch {
        context.addIssue({ code: 'custom', message: 'json', params: { rule: 'json', allowed: 'one JSON object' } })
        return z.NEVER
      }
      for (const { kind, path } of findTextFaults(text, value)) context.addIssue(unstorable(path, TEXT_RULES[kind]))
      const { errors } = findUnstorableText({ [FIELD]: value })
      for (const { field, rule, allowed } of errors)
        context.addIssue(unstorable(field.split('.').slice(1), { rule, allowed }))
      return context.issues.length > 0 ? z.NEVER : value
    })
    .pipe(schema)
}

/** The first part of the paths in `findUnstorableText`, removed afterwards. */
const FIELD = 'value'

const unstorable = (path: readonly PropertyKey[], params: { readonly rule: string; readonly allowed: unknown }) => ({
  code: 'custom' as const,
  path: [...path],
  message: params.rule,
  params,
})

export const batchQuery = z.strictObject({
  dry_run: z
    .enum(['true', 'false'])
    .transform((value) => value === 'true')
    .optional()
    .describe('Check the batch and estimate its end and cost, and store nothing.'),
  // Fields of a whole JSON Lines batch. In a JSON document these fields are in the body.
  defaults: jsonText(generationDefaults)
    .optional()
    .describe('JSON Lines only: fields for lines that do not set them, as JSON.'),
  webhook_url: webhookUrl
    .optional()
    .describe('JSON Lines only: for lines without a `webhook_url`; also gets `batch.completed`.'),
  metadata: jsonText(metadata).optional().describe('JSON Lines only: any JSON object up to 16 KB.'),
})

const counts = z.object(Object.fromEntries(STATUSES.map((status) => [status, z.int()])) as Record<Status, z.ZodInt>)

export const batchEstimate = z
  .object({
    ends_at: z.iso
      .datetime()
      .nullable()
      .describe('The likely end of the last generation; null without history, or while submitting is paused.'),
    amount: z
      .number()
      .nullable()
      .describe(
        'The likely charge for the generations that have not ended, in the provider’s own unit; null without history.',
      ),
  })
  .meta({ id: 'BatchEstimate' })

/** The reply to `dry_run`. */
export const batchCheckJson = z
  .object({ object: z.literal('batch_check'), total: z.int(), estimate: batchEstimate })
  .meta({ id: 'BatchCheck' })

export const batchJson = z
  .object({
    id: z.string(),
    object: z.literal('batch'),
    status: z
      .enum(['in_progress', 'cancelling', 'completed'])
      .describe(
        '`cancelling`: a cancel of the batch is under way; its queued generations will not be submitted, and become cancelled one after the other. `completed`: every generation has ended: completed, failed or cancelled.',
      ),
    parent_batch_id: z.string().nullable().describe('The batch whose failed generations this batch retries.'),
    total: z.int(),
    counts: counts.describe('Generations by status; they add up to `total`.'),
    estimate: batchEstimate
      .optional()
      .describe(
        'Only in a reply with one batch that has not ended. Based on the time and cost of recent clips of the same kind.',
      ),
    pending_priority: z
      .int()
      .optional()
      .describe('Only while a new priority is being written to the queued generations: that priority.'),
    webhook_url: z.string().nullable(),
    metadata: z.record(z.string(), z.unknown()).nullable(),
    created_at: z.iso.datetime(),
    completed_at: z.iso.datetime().nullable().describe('The end of its last generation.'),
  })
  .meta({ id: 'Batch' })
export type BatchJson = z.output<typeof batchJson>

export interface BatchRow {
  readonly id: string
  readonly parentId: string | null
  readonly total: number
  readonly webhookUrl: string | null
  readonly metadata: unknown
  readonly cancelRequestedAt: Date | null
  readonly wantedPriority: number | null
  readonly createdAt: Date
  readonly completedAt: Date | null
}

export function toBatchJson(row: BatchRow, byStatus: Readonly<Record<Status, number>>): BatchJson {
  return {
    id: row.id,
    object: 'batch',
    status: statusOf(row, byStatus),
    parent_batch_id: row.parentId,
    total: row.total,
    counts: byStatus,
    ...(row.wantedPriority !== null && { pending_priority: row.wantedPriority }),
    webhook_url: row.webhookUrl,
    metadata: row.metadata as Record<string, unknown> | null,
    created_at: row.createdAt.toISOString(),
    completed_at: row.completedAt?.toISOString() ?? null,
  }
}

function statusOf(row: BatchRow, counts: Readonly<Record<Status, number>>): BatchJson['status'] {
  if (isOver(row, counts)) return 'completed'
  return row.cancelRequestedAt === null ? 'in_progress' : 'cancelling'
}

/** The counts are newer than `completed_at`, which is written a moment after the last generation ended. */
function isOver({ completedAt }: BatchRow, counts: Readonly<Record<Status, number>>): boolean {
  return completedAt !== null || counts.queued + counts.submitting + counts.processing === 0
}

export const batchCancel = z
  .strictObject({
    rendering: z
      .enum(['finish', 'cancel'])
      .default('finish')
      .describe('Whether generations that are being submitted or rendered finish, or are cancelled too.'),
  })
  .nullish()
  .meta({ id: 'BatchCancel', example: { rendering: 'finish' } })

export const batchChange = z
  .strictObject({
    priority: z.int().min(-100).max(100).describe('For the queued generations of the batch; higher goes first.'),
  })
  .meta({ id: 'BatchChange', example: { priority: 10 } })

export const resultJson = z
  .object({
    id: z.string(),
    custom_id: z.string().nullable(),
    status: z.enum(STATUSES),
    video_url: z.string().nullable(),
    video_url_expires_at: z.iso.datetime().nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
  })
  .meta({ id: 'BatchResult' })

export interface ResultRow {
  readonly id: string
  readonly customId: string | null
  readonly status: Status
  readonly videoUrl: string | null
  readonly videoUrlExpiresAt: Date | null
  readonly errorCode: string | null
  readonly errorMessage: string | null
}

/** One line of a batch's results. */
export function toResultJson(row: ResultRow): z.output<typeof resultJson> {
  return {
    id: row.id,
    custom_id: row.customId,
    status: row.status,
    video_url: row.videoUrl,
    video_url_expires_at: row.videoUrlExpiresAt?.toISOString() ?? null,
    error: row.errorCode === null ? null : { code: row.errorCode, message: row.errorMessage ?? '' },
  }
}

/** The record in the event of a batch's completion. */
const batchSnapshot = z.object({ completed_at: z.iso.datetime(), counts: counts.partial() })

/** The batch at the time of the event: no change of the batch was under way any more. */
export function batchAtEvent(
  row: Omit<BatchRow, 'cancelRequestedAt' | 'wantedPriority'>,
  eventData: unknown,
): BatchJson {
  const { completed_at, counts: recorded } = batchSnapshot.parse(eventData)
  const byStatus = Object.fromEntries(STATUSES.map((status) => [status, recorded[status] ?? 0])) as Record<
    Status,
    number
  >
  return {
    ...toBatchJson({ ...row, cancelRequestedAt: null, wantedPriority: null }, byStatus),
    status: 'completed',
    completed_at,
  }
}
