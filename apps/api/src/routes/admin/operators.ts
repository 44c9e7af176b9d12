// /admin/v1/operators: who may log in to the console, with which role.

import { isId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { toOperatorJson } from '@reelqueue/contract/wire/operator/session'
import { audited } from '@reelqueue/shared/store/operator/audit'
import {
  changeOperator,
  createOperator,
  listOperators,
  type ProjectFault,
} from '@reelqueue/shared/store/operator/operators'
import { newPassword } from '@reelqueue/shared/store/operator/password'
import type { ApiDeps } from '../../deps.ts'
import { cursorOf, pageOf } from '../../page.ts'
import type { Serve } from '../../typed-app.ts'

export function operatorRoutes(serve: Serve<'operator'>, { database, operators }: ApiDeps): void {
  serve('listOperators', async ({ query: { limit, cursor } }) =>
    pageOf(await listOperators(database, limit + 1, cursorOf('operator', cursor)), limit, toOperatorJson),
  )

  serve('createOperator', async (request, reply) => {
    const { operator, body } = request
    const { name, role, project_id, password: chosen } = body
    const password = chosen ?? newPassword()
    const passwordHash = await operators.hashFor(request, password)
    const result = await audited(
      database,
      operator,
      (within) => createOperator(within, { name, role, projectId: project_id ?? null, passwordHash }),
      (done) => {
        if (done.kind !== 'created') return null
        const { id: subject, projectId } = done.operator
        return { action: 'createOperator', subject, projectId, changes: { name, role } }
      },
    )
    if (result.kind === 'taken') throw new Problem('operator_exists')
    if (result.kind !== 'created') throw projectProblem(result.kind)
    return reply.code(201).send({ ...toOperatorJson(result.operator), password: password === chosen ? null : password })
  })

  serve('changeOperator', async (request) => {
    const { operator, body } = request
    const { id } = request.params
    if (!isId('operator', id)) throw new Problem('not_found')
    const { role, project_id: projectId, disabled, password: chosen } = body
    const password = chosen === null ? newPassword() : chosen
    const passwordHash = password === undefined ? undefined : await operators.hashFor(request, password)
    const result = await audited(
      database,
      operator,
      (within) => changeOperator(within, id, { role, projectId, disabled, passwordHash }),
      (done) => {
        if (done.kind !== 'changed') return null
        const { before, operator: after, sessionsEnded } = done
        const changes = {
          name: after.name,
          ...(after.role !== before.role && { role: [before.role, after.role] }),
          ...(disabled !== undefined && { disabled }),
          ...(passwordHash !== undefined && { password: 'changed' }),
          sessions_ended: sessionsEnded,
        }
        return { action: 'changeOperator', subject: id, projectId: after.projectId, changes }
      },
    )
    if (result.kind === 'unknown') throw new Problem('not_found')
    if (result.kind !== 'changed') throw projectProblem(result.kind)
    return { ...toOperatorJson(result.operator), password: password === chosen ? null : (password ?? null) }
  })
}

const ALLOWED: Readonly<Record<ProjectFault, string>> = {
  needs_project: 'the id of the project that the member belongs to',
  has_no_project: 'absent, because only a member belongs to a project',
  unknown_project: 'the id of a project',
}

const projectProblem = (fault: ProjectFault) =>
  new Problem('validation_failed', undefined, [{ field: 'project_id', rule: fault, allowed: ALLOWED[fault] }])
