// A bulk action as an object: it is tried first, it has a cut-off and a bound, and it may be aborted and resumed.

import { z } from 'zod'
import { generationFilter } from './generation.ts'

const instant = z.iso.datetime()

export const OPERATION_ACTIONS = ['retry', 'cancel', 'redeliver'] as const

export const operationRequest = z
  .strictObject({
    action: z.enum(OPERATION_ACTIONS),
    filter: generationFilter
      .extend({ endpoint_id: z.string().min(1).optional().describe('Of `redeliver`: only to this endpoint.') })
      .refine((filter) => Object.keys(filter).length > 0, 'Name at least one condition.')
      .optional()
      .describe('Which generations; an empty filter is refused. Of `redeliver`: whose failed deliveries.'),
    ids: z.array(z.string()).min(1).max(1_000).optional().describe('These generations, instead of a filter.'),
    reason: z.string().min(1).max(500).describe('Why, for the audit.'),
    include_unknown: z
      .boolean()
      .default(false)
      .describe('Of `retry`: also those whose submission has an unknown outcome. They may be paid for twice.'),
    dry_run: z.boolean().default(false).describe('Only count.'),
    token: z.string().optional().describe('The `token` of the dry run, whose cut-off and count hold.'),
  })
  .meta({
    id: 'OperationRequest',
    example: { action: 'retry', filter: { status: 'failed' }, reason: 'the outage of this morning', dry_run: true },
  })

export const operationPlan = z
  .object({
    object: z.literal('operation_plan'),
    matching: z.int().describe('At most 50,001: more are not counted, and refused.'),
    eligible: z.int(),
    skipped: z.record(z.string(), z.int()).describe('How many are left out, by reason.'),
    may_be_paid_again: z.int().describe('Of `retry`: how many may be charged.'),
    estimated_amount: z.number().nullable().describe('From the recent costs of clips of the same kind.'),
    cutoff_id: z.string().describe('Generations after this id are not touched.'),
    token: z.string().describe('Starts this plan; valid for 15 minutes.'),
  })
  .meta({ id: 'OperationPlan' })
export type OperationPlan = z.output<typeof operationPlan>

export const operationJson = z
  .object({
    object: z.literal('operation'),
    id: z.string(),
    action: z.enum(OPERATION_ACTIONS),
    status: z.enum(['running', 'completed', 'aborted']),
    reason: z.string(),
    actor: z.string(),
    filter: z.record(z.string(), z.unknown()).nullable(),
    total: z.int().describe('Eligible when it started.'),
    done: z.int(),
    skipped: z.int().describe('No longer eligible when their turn came.'),
    failed: z.int(),
    estimated_amount: z.number().nullable(),
    cutoff_id: z.string(),
    created_at: instant,
    ended_at: instant.nullable(),
  })
  .meta({ id: 'Operation' })
export type OperationJson = z.output<typeof operationJson>
