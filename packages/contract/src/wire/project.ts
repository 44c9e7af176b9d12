// A project as its own keys see the project, and the changes that its keys may make.

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
      .describe(
        'The maximum number of generations of the project in flight; null: only the slots of the installation limit it.',
      ),
    paused_at: z.iso.datetime().nullable().describe('The start of the pause; null: the project is not paused.'),
    created_at: z.iso.datetime(),
  })
  .meta({ id: 'Project' })
export type ProjectJson = z.output<typeof projectJson>

export const projectWithSecret = projectJson
  .extend({
    webhook_secret: z
      .string()
      .describe('Verifies webhooks to the `webhook_url` of requests; shown only in this reply.'),
  })
  .meta({ id: 'ProjectWithSecret' })

export const projectChange = z
  .strictObject({
    on_unknown_submission: onUnknownSubmission
      .optional()
      .describe(
        'For generations accepted from now on whose request does not set it: `fail`, or `resubmit` at most once.',
      ),
    max_in_flight: z
      .int()
      .min(1)
      .max(100_000)
      .nullable()
      .optional()
      .describe(
        'The maximum number of generations of the project in flight; null: only the slots of the installation limit it.',
      ),
  })
  .meta({ id: 'ProjectChange', example: { on_unknown_submission: 'fail' } })

export interface ProjectRow {
  readonly id: string
  readonly name: string
  readonly onUnknownSubmission: 'fail' | 'resubmit'
  readonly maxInFlight: number | null
  readonly pausedAt: Date | null
  readonly createdAt: Date
}

export function toProjectJson(row: ProjectRow): ProjectJson {
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
