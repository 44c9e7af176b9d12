// The route of the audit: who did what.

import { z } from 'zod'
import { listOf, pageQuery } from '../../wire/list.ts'
import { auditJson } from '../../wire/operator/audit.ts'
import type { Route } from '../route.ts'

export const auditRoutes = {
  listAudit: {
    method: 'GET',
    path: '/admin/v1/audit',
    caller: 'operator',
    permission: 'see',
    tag: 'Console',
    summary: 'List who did what, newest first',
    description:
      'One entry for each login, and for each change by an operator. A member sees the entries of its project.',
    query: pageQuery.extend({
      actor: z.string().min(1).max(100).optional().describe('Only what this operator did.'),
      subject: z.string().min(1).max(100).optional().describe('Only changes of the object with this id.'),
      project_id: z.string().min(1).optional().describe('Only changes in this project.'),
    }),
    replies: { 200: listOf(auditJson) },
    problems: ['validation_failed'],
  },
} as const satisfies Record<string, Route>
