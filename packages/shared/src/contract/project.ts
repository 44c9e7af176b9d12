// A project as its own keys see it, and what they may change of it.

import { z } from 'zod'

const onUnknownSubmission = z.enum(['fail', 'resubmit'])

export const projectJson = z
  .object({
    id: z.string(),
    object: z.literal('project'),
    name: z.string(),
    on_unknown_submission: onUnknownSubmission,
    max_in_flight: z
      .int()
      .nullable()
      .describe('How many of its generations may be in flight; null: as many as there are slots.'),
    paused_at: z.iso.datetime().nullable().describe('Since when nothing of it is admitted; null: it is not paused.'),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Project' })
export type ProjectJson = z.output<typeof projectJson>

export const projectWithSecret = projectJson
  .extend({
    webhook_secret: z.string().describe('Verifies what goes to the `webhook_url` of requests; shown this once.'),
  })
  .meta({ id: 'ProjectWithSecret' })

export const projectChange = z
  .strictObject({
    on_unknown_submission: onUnknownSubmission
      .optional()
      .describe(
        'For generations accepted from now on whose request does not say: `fail`, or `resubmit` once more at most.',
      ),
    max_in_flight: z
      .int()
      .min(1)
      .max(100_000)
      .nullable()
      .optional()
      .describe('How many of its generations may be in flight; null: as many as there are slots.'),
  })
  .meta({ id: 'ProjectChange' })

export interface ProjectFacts {
  readonly id: string
  readonly name: string
  readonly onUnknownSubmission: 'fail' | 'resubmit'
  readonly maxInFlight: number | null
  readonly pausedAt: Date | null
  readonly createdAt: Date
}

export function toProjectJson(row: ProjectFacts): ProjectJson {
  return {
    id: row.id,
    object: 'project',
    name: row.name,
    on_unknown_submission: row.onUnknownSubmission,
    max_in_flight: row.maxInFlight,
    paused_at: row.pausedAt?.toISOString() ?? null,
    created_at: row.createdAt.toISOString(),
  }
}
