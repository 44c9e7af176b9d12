// Who did what: one row for each change by a person or a key.

import { z } from 'zod'

export const auditJson = z
  .object({
    object: z.literal('audit_entry'),
    id: z.string(),
    at: z.iso.datetime(),
    actor: z.string().describe('The name of the operator, or the hint of the key.'),
    via: z.enum(['session', 'password', 'key', 'command']),
    address: z.string().nullable(),
    action: z.string().describe('The operation id of the route, such as `retryGeneration`.'),
    subject: z.string().nullable().describe('The id of what was changed.'),
    project_id: z.string().nullable(),
    changes: z.record(z.string(), z.unknown()).nullable(),
    reason: z.string().nullable(),
    request_id: z.string().nullable(),
  })
  .meta({ id: 'AuditEntry' })
export type AuditJson = z.output<typeof auditJson>

/** A row of the audit; `at` as Date. */
export interface AuditRow {
  readonly id: string
  readonly at: Date
  readonly actor: string
  readonly via: string
  readonly address: string | null
  readonly action: string
  readonly subject: string | null
  readonly projectId: string | null
  readonly changes: unknown
  readonly reason: string | null
  readonly requestId: string | null
}

export function toAuditJson({ projectId, requestId, at, changes, via, ...row }: AuditRow): AuditJson {
  return {
    object: 'audit_entry',
    ...row,
    at: at.toISOString(),
    via: via as AuditJson['via'],
    project_id: projectId,
    changes: changes as AuditJson['changes'],
    request_id: requestId,
  }
}
