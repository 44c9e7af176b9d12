// Events for callers: the timeline of a generation.

import { z } from 'zod'

export const eventJson = z
  .object({
    id: z.string(),
    object: z.literal('event'),
    type: z.string(),
    sequence: z.int().describe('1, 2, 3 … for each generation, without gaps.'),
    created_at: z.iso.datetime(),
    data: z.record(z.string(), z.unknown()).describe('What the event changed.'),
  })
  .meta({ id: 'Event' })
export type EventJson = z.output<typeof eventJson>

export interface EventRow {
  readonly id: string
  readonly type: string
  readonly sequence: number
  readonly createdAt: Date
  readonly data: unknown
}

export function toEventJson(event: EventRow): EventJson {
  return {
    id: event.id,
    object: 'event',
    type: event.type,
    sequence: event.sequence,
    created_at: event.createdAt.toISOString(),
    data: event.data as Record<string, unknown>,
  }
}
