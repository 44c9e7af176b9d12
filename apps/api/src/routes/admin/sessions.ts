// /admin/v1/session and /admin/v1/sessions: the login of the console, and its sessions.

import { isId } from '@reelqueue/contract/terms/ids'
import { Problem } from '@reelqueue/contract/terms/problem'
import { may } from '@reelqueue/contract/terms/roles'
import { type MeJson, type SessionJson, toSessionJson } from '@reelqueue/contract/wire/operator/session'
import { audited } from '@reelqueue/shared/store/operator/audit'
import {
  endSession,
  endSessionsOf,
  listSessions,
  readServerTime,
  type SessionOwner,
} from '@reelqueue/shared/store/operator/sessions'
import type { ApiDeps } from '../../deps.ts'
import type { CurrentOperator } from '../../operator-login.ts'
import { cursorOf, pageOf } from '../../page.ts'
import type { Serve } from '../../typed-app.ts'
import { VERSION } from '../../version.ts'

/** The id that stands for all other sessions of the login. */
const OTHERS = 'others'

/** The only route below `/admin` without a login. */
export function logInRoute(serve: Serve<'anyone'>, deps: ApiDeps): void {
  serve('logIn', async (request, reply) => {
    const session = await deps.operators.logIn(request, reply, request.body)
    return await meOf(deps, toSessionJson(session, session.id))
  })
}

export function sessionRoutes(serve: Serve<'operator'>, deps: ApiDeps): void {
  const { database, operators } = deps

  serve('getMe', async ({ operator }) => await meOf(deps, currentJson(operator)))

  serve('logOut', async ({ operator }, reply) => {
    const { session } = operator
    const ended =
      session === null
        ? null
        : await audited(
            database,
            operator,
            (within) => endSession(within, session, session.id),
            (gone) => gone && { action: 'logOut', subject: gone.id, projectId: gone.projectId },
          )
    operators.dropCookie(reply)
    return { ended: ended === null ? 0 : 1 }
  })

  serve('listSessions', async ({ operator, query: { limit, cursor } }) => {
    const owner = managesAll(operator) ? null : ownerOf(operator)
    const rows = await listSessions(database, owner, limit + 1, cursorOf('session', cursor))
    return pageOf(rows, limit, (row) => toSessionJson(row, operator.session?.id))
  })

  serve('endSession', async ({ operator, params: { id } }) => {
    if (id === OTHERS) return { ended: await endOthers(operator) }
    const owner = managesAll(operator) ? null : ownerOf(operator)
    const ended = isId('session', id)
      ? await audited(
          database,
          operator,
          (within) => endSession(within, owner, id),
          (gone) =>
            gone && { action: 'endSession', subject: id, projectId: gone.projectId, changes: { name: gone.name } },
        )
      : null
    if (ended === null) throw new Problem('not_found')
    return { ended: 1 }
  })

  async function endOthers(operator: CurrentOperator): Promise<number> {
    const { projectId, session } = operator
    return await audited(
      database,
      operator,
      (within) => endSessionsOf(within, ownerOf(operator), session?.id ?? null),
      (ended) => (ended === 0 ? null : { action: 'endSession', subject: OTHERS, projectId, changes: { ended } }),
    )
  }
}

const managesAll = ({ role }: CurrentOperator) => may(role, 'manage')

/** A request with a password belongs to the sessions that began with the same password and its name. */
const ownerOf = ({ session, name, role, projectId }: CurrentOperator): SessionOwner =>
  session ?? { operatorId: null, name, role, projectId }

function currentJson({ session, name, role, projectId }: CurrentOperator): SessionJson {
  if (session) return toSessionJson(session, session.id)
  return {
    object: 'session',
    id: null,
    name,
    role,
    project_id: projectId,
    created_at: null,
    seen_at: null,
    expires_at: null,
    address: null,
    user_agent: null,
    is_current: true,
  }
}

async function meOf({ database, settings }: ApiDeps, session: SessionJson): Promise<MeJson> {
  const now = await readServerTime(database)
  return {
    session,
    server_time: now.toISOString(),
    version: VERSION,
    has_upstream_key: settings.hasUpstreamKey,
    docs: 'docs/',
  }
}
