// A generation as operators see it: with its project, its cost, and why it is where it is.

import { z } from 'zod'
import { STATUSES } from '../../terms/status.ts'
import { generationJson } from '../generation.ts'
import { whyJson } from './why.ts'

const instant = z.iso.datetime()

export const costJson = z
  .object({ amount: z.number().nullable(), total_tokens: z.number().nullable() })
  .describe('What the provider said that the render cost, in its own currency.')

export const operatorGenerationJson = generationJson
  .extend({
    project_id: z.string(),
    project_name: z.string(),
    admitted_at: instant.nullable(),
    cost: costJson.nullable(),
    upstream: z.string().nullable(),
    why: whyJson,
  })
  .meta({ id: 'OperatorGeneration' })
export type OperatorGenerationJson = z.output<typeof operatorGenerationJson>

/** The generations that are meant: for the list, for an export, and for an operation on all of them. */
export const generationFilter = z.strictObject({
  project_id: z.string().min(1).optional().describe('Only generations of this project.'),
  status: z
    .string()
    .regex(new RegExp(`^(${STATUSES.join('|')})(,(${STATUSES.join('|')}))*$`))
    .optional()
    .describe('One status, or several with commas between.'),
  error_code: z.string().min(1).max(100).optional().describe('Only failed generations with this code.'),
  model: z.string().min(1).max(100).optional().describe('Only generations of this model.'),
  batch_id: z.string().min(1).optional().describe('Only generations of this batch.'),
  custom_id: z.string().min(1).max(64).optional().describe('Only generations with this `custom_id`.'),
  metadata: z
    .string()
    .min(3)
    .max(500)
    .regex(/^[^=]+=/)
    .optional()
    .describe('`key=value`: a field of the metadata.'),
  prompt: z
    .string()
    .min(2)
    .max(200)
    .optional()
    .describe('Words in the prompt. One request looks at 20,000 generations; `next_cursor` goes on from there.'),
  paid_without_video: z
    .literal('true')
    .optional()
    .describe('Ended without a video although something may have been paid.'),
  unknown: z.literal('true').optional().describe('Failed because the outcome of a submission is unknown.'),
  created_after: instant.optional().describe('Only generations accepted at this time or later.'),
  created_before: instant.optional().describe('Only generations accepted before this time.'),
})
export type GenerationFilter = z.output<typeof generationFilter>

export const operatorGenerationList = z
  .object({
    data: z.array(operatorGenerationJson),
    next_cursor: z.string().nullable().describe('Null: there is nothing older.'),
    looked_back_to: instant.nullable().describe('With `prompt`: the age of the oldest generation that was looked at.'),
  })
  .meta({ id: 'OperatorGenerationList' })

/** What happened to a generation, from all records of it, oldest first. */
export const timelineEntry = z
  .object({
    at: instant,
    kind: z.enum(['event', 'submission', 'answer', 'poll', 'delivery', 'attempt', 'audit']),
    title: z.string().describe('One line for people.'),
    detail: z.record(z.string(), z.unknown()).describe('The record.'),
  })
  .meta({ id: 'TimelineEntry' })
export type TimelineEntry = z.output<typeof timelineEntry>

/** One thing that an id, a task, a `custom_id` or an address may mean. */
export const foundJson = z
  .object({
    kind: z.enum(['generation', 'batch', 'project', 'endpoint', 'delivery', 'event', 'submission']),
    id: z.string(),
    project_id: z.string(),
    label: z.string(),
    by: z.enum(['id', 'upstream_task_id', 'custom_id', 'idempotency_key', 'url', 'name']),
  })
  .meta({ id: 'Found' })
export type FoundJson = z.output<typeof foundJson>
