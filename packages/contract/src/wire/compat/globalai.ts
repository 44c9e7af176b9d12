// The wire format of GlobalAI, so that existing clients of GlobalAI work against Reelqueue. Times are unix
// seconds here.

import { z } from 'zod'
import type { GenerationRow } from '../generation.ts'

export const globalAiTaskJson = z
  .object({
    id: z.string(),
    object: z.literal('video.generation'),
    created: z.int(),
    model: z.string(),
    status: z.enum(['queued', 'processing', 'completed', 'failed']),
    video_url: z.string().nullable(),
    actualDuration: z.number().nullable(),
    error: z.string().nullable(),
  })
  .meta({ id: 'GlobalAiTask' })
export type GlobalAiTaskJson = z.output<typeof globalAiTaskJson>

const STATUSES = {
  queued: 'queued',
  submitting: 'queued',
  processing: 'processing',
  completed: 'completed',
  failed: 'failed',
  cancelled: 'failed',
} as const

export function toGlobalAiTaskJson(row: GenerationRow): GlobalAiTaskJson {
  return {
    id: row.id,
    object: 'video.generation',
    created: Math.floor(row.createdAt.getTime() / 1_000),
    model: row.model,
    status: STATUSES[row.status],
    video_url: row.videoUrl,
    actualDuration: row.actualDuration,
    error:
      row.status === 'cancelled' ? 'cancelled' : row.status === 'failed' ? (row.errorMessage ?? row.errorCode) : null,
  }
}
