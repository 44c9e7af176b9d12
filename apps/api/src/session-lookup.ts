// Finds the session of a request by its cookie. One indexed statement; a second one at most once a minute.

import type { Database } from '@reelqueue/shared/store/database'
import { findSession, noteSeen, type Session } from '@reelqueue/shared/store/operator/sessions'
import type { FastifyRequest } from 'fastify'
import type { BuiltInPasswords } from './built-in-passwords.ts'
import { type SessionCookie, tokenHashOf } from './session-cookie.ts'

/** @returns a function that finds the live session of a request; null when there is none */
export function createSessionLookup(
  database: Database,
  cookie: SessionCookie,
  builtIn: BuiltInPasswords,
): (request: FastifyRequest) => Promise<Session | null> {
  return async (request) => {
    const token = cookie.read(request)
    if (token === null) return null
    const found = await findSession(database, tokenHashOf(token))
    if (found === null) return null
    const { passwordProof, madePasswordHash, isUnnoted, ...session } = found
    const isValid = passwordProof === null || builtIn.isProof(passwordProof, token, session.role, madePasswordHash)
    if (!isValid) return null
    // An operator may read while Postgres cannot be written to.
    if (isUnnoted) await noteSeen(database, session.id).catch(() => undefined)
    return session
  }
}
