// The first page of the console: what needs a person, and how everything is.

import { z } from 'zod'
import { gateJson } from '../gate.ts'

const instant = z.iso.datetime()

/** One group of things that need a person. */
export const attentionItem = z
  .object({
    code: z.enum([
      'unknown_submissions',
      'gate_closed',
      'paused_by_operator',
      'no_upstream_key',
      'no_worker',
      'work_overdue',
      'endpoint_failing',
      'endpoint_disabled',
      'videos_expiring',
      'paid_without_video',
      'slow_renders',
      'unstorable_rows',
      'batch_without_movement',
      'settings_differ',
      'project_paused',
    ]),
    severity: z.enum(['now', 'soon', 'know']),
    title: z.string().describe('One sentence for people.'),
    count: z.int().describe('At most 1,000: more are not counted.'),
    since: instant.nullable().describe('The oldest of them.'),
    project_id: z.string().nullable(),
    project_name: z.string().nullable(),
    link: z.string().describe('The page of the console that shows them, relative to the console.'),
    action: z
      .enum(['resume_submitting', 'resume_project', 'decide', 'test_endpoint', 'open'])
      .describe('What an operator does about it.'),
  })
  .meta({ id: 'AttentionItem' })
export type AttentionItem = z.output<typeof attentionItem>

export const attentionJson = z.object({ data: z.array(attentionItem), checked_at: instant }).meta({ id: 'Attention' })
export type AttentionJson = z.output<typeof attentionJson>

export const processJson = z
  .object({
    object: z.literal('process'),
    id: z.string(),
    kind: z.enum(['api', 'worker', 'all']),
    host: z.string(),
    pid: z.int(),
    version: z.string(),
    node: z.string(),
    settings_hash: z.string().describe('Equal in processes with the same shared settings.'),
    started_at: instant,
    seen_at: instant,
    is_alive: z.boolean().describe('Seen in the last 30 s.'),
  })
  .meta({ id: 'Process' })
export type ProcessJson = z.output<typeof processJson>

export const upstreamJson = z
  .object({
    object: z.literal('upstream'),
    name: z.string(),
    models: z.array(z.string()),
    gate: gateJson,
    slots: z.object({
      max: z.int(),
      used: z.int(),
      kept: z.int().describe('Slots of renders that no generation waits for.'),
      by_model: z.array(z.object({ model: z.string(), used: z.int(), max: z.int().nullable() })),
    }),
    answers: z
      .array(z.object({ call: z.string(), class: z.string(), count: z.int() }))
      .describe('The answers of the provider so far, by call and class.'),
    renders: z
      .array(
        z.object({
          model: z.string(),
          seconds: z.int().nullable(),
          size: z.string().nullable(),
          clips: z.number(),
          p50_ms: z.number().nullable(),
          p99_ms: z.number().nullable(),
          mean_amount: z.number().nullable(),
        }),
      )
      .describe('Recent render times and costs of each render profile.'),
  })
  .meta({ id: 'Upstream' })
export type UpstreamJson = z.output<typeof upstreamJson>

export const overviewJson = z
  .object({
    at: instant,
    upstreams: z.array(upstreamJson),
    open: z.object({ queued: z.int(), submitting: z.int(), processing: z.int() }).describe('At most 100,000 each.'),
    slow: z.int(),
    backlog: z
      .array(
        z.object({
          project_id: z.string(),
          project_name: z.string(),
          waiting: z.int(),
          in_flight: z.int(),
          max_in_flight: z.int().nullable(),
          paused_at: instant.nullable(),
          ends_at: instant.nullable().describe('An estimate from the rate of admission.'),
        }),
      )
      .describe('The projects with the most work, at most 50.'),
    processes: z.array(processJson),
    today: z.object({ completed: z.int(), failed: z.int(), cancelled: z.int(), amount: z.number() }),
    pending_deliveries: z.int().describe('At most 100,000.'),
  })
  .meta({ id: 'Overview' })
export type OverviewJson = z.output<typeof overviewJson>

/** Sums of one step of time. */
export const statsPoint = z.object({
  at: instant,
  accepted: z.int(),
  completed: z.int(),
  failed: z.int(),
  cancelled: z.int(),
  attempts_ok: z.int(),
  attempts_failed: z.int(),
  amount: z.number(),
  render_p50_ms: z.number().nullable(),
  render_p99_ms: z.number().nullable(),
})
export const statsJson = z
  .object({
    step_seconds: z.int(),
    data: z.array(statsPoint),
    errors: z.array(z.object({ error_code: z.string(), count: z.int() })),
  })
  .meta({ id: 'Stats' })
export type StatsJson = z.output<typeof statsJson>
