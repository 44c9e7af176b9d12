// /admin/v1/audit: who did what.

import { toAuditJson } from '@reelqueue/contract/wire/operator/audit'
import { listAudit } from '@reelqueue/shared/store/operator/audit'
import type { ApiDeps } from '../../deps.ts'
import { scopeOf } from '../../operator-login.ts'
import { cursorOf, pageOf } from '../../page.ts'
import type { Serve } from '../../typed-app.ts'

export function auditRoutes(serve: Serve<'operator'>, { database }: ApiDeps): void {
  serve('listAudit', async (request) => {
    const { limit, cursor, actor, subject, project_id } = request.query
    const filter = { actor, subject, projectId: scopeOf(request) ?? project_id }
    const rows = await listAudit(database, filter, limit + 1, cursorOf('audit', cursor))
    return pageOf(rows, limit, toAuditJson)
  })
}
