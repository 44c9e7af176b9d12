// The provider's answers about one generation, and a write that Postgres refuses. Shown only where one generation is
// read, never in lists or webhooks.

import { z } from 'zod'

const instant = z.iso.datetime()

export const submissionJson = z
  .object({
    id: z.string(),
    attempt: z.int(),
    state: z.enum(['started', 'accepted', 'rejected', 'unknown']),
    upstream_task_id: z.string().nullable(),
    error: z.object({ code: z.string(), message: z.string() }).nullable(),
    started_at: instant,
    settled_at: instant.nullable(),
    reply: z
      .object({
        http_status: z.int().nullable().describe('Null: no status line arrived.'),
        headers: z.record(z.string(), z.string()),
        body: z.string().describe('At most 8 KB, without the API key of the provider.'),
        truncated: z.boolean().describe('The answer was longer than 8 KB, or ended early.'),
        bytes: z.int().describe('Bytes of the body that arrived.'),
        cut: z.string().nullable().describe('Why the answer ended early.'),
      })
      .nullable()
      .describe('The answer of the provider; null without an answer, or when nothing was sent.'),
  })
  .meta({ id: 'Submission' })

export const lastPollJson = z
  .object({
    class: z.enum(['pending', 'refused', 'not_found', 'rate', 'server_error', 'silence', 'unreadable', 'without_url']),
    http_status: z.int().nullable(),
    code: z.string().nullable(),
    message: z.string().nullable(),
    at: instant,
    failures: z.int().describe('Polls in a row without a usable answer.'),
  })
  .meta({ id: 'LastPoll' })

export const unstorableJson = z
  .object({
    sql_state: z.string().describe('The SQLSTATE of the refusal; `unknown` without one.'),
    failures: z.int().describe('Tries so far.'),
    since: instant,
    next_try_at: instant,
  })
  .meta({ id: 'Unstorable' })
