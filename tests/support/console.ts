// Logs in to the console: through the form like a browser, or straight into the database where a test needs only the session.

import { randomBytes } from 'node:crypto'
import type { Role } from '@reelqueue/contract/terms/roles'
import type { Database } from '@reelqueue/shared/store/database'
import { createSession } from '@reelqueue/shared/store/operator/sessions'
import { hashOf } from '@reelqueue/shared/store/projects'
import { type Reply, send } from './api.ts'

type Headers = Readonly<Record<string, string>>

export interface LoggedIn {
  readonly reply: Reply
  /** The header of further requests; empty when the login was refused. */
  readonly headers: Headers
}

/** Sends the form. `base`: the address of the API, without a trailing slash. */
export async function logIn(base: string, name: string, password: string, headers: Headers = {}): Promise<LoggedIn> {
  const reply = await send('POST', `${base}/admin/v1/session`, { name, password }, headers)
  const cookie = sessionCookieOf(reply)?.split(';')[0]
  return { reply, headers: cookie === undefined ? {} : { cookie } }
}

/** The whole `Set-Cookie` of the session. */
export function sessionCookieOf({ headers }: Reply): string | undefined {
  return headers['set-cookie']?.find((cookie) => cookie.startsWith('reelqueue_session='))
}

/** The headers of a session with this role, which needs no password. */
export async function sessionOf(database: Database, role: Role, projectId: string | null = null): Promise<Headers> {
  const token = randomBytes(32).toString('base64url')
  const owner = { operatorId: null, name: `a ${role}`, role, projectId }
  const rest = { passwordProof: null, passwordHash: null, userAgent: null, address: null }
  await createSession(database, { ...owner, ...rest, tokenHash: hashOf(token) })
  return { cookie: `reelqueue_session=${token}` }
}
