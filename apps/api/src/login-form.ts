// The login of the console: a name and a password begin a session. An unknown name takes as long as a wrong password, and
// gets the same answer.

import { Problem } from '@reelqueue/contract/terms/problem'
import type { Role } from '@reelqueue/contract/terms/roles'
import { clientOf } from '@reelqueue/shared/runtime/client-address'
import { fairTurns } from '@reelqueue/shared/runtime/fair-turns'
import type { Database } from '@reelqueue/shared/store/database'
import { audited } from '@reelqueue/shared/store/operator/audit'
import { findOperator } from '@reelqueue/shared/store/operator/operators'
import { hashPassword, isPassword, NO_PASSWORD } from '@reelqueue/shared/store/operator/password'
import { createSession, purgeSessions, type Session } from '@reelqueue/shared/store/operator/sessions'
import type { FastifyReply, FastifyRequest } from 'fastify'
import type { BuiltInPasswords, BuiltInRole } from './built-in-passwords.ts'
import { isCrossSite } from './cross-site.ts'
import type { Guess, GuessThrottle } from './guess-throttle.ts'
import type { KnownDevices } from './known-device.ts'
import { newToken, type SessionCookie, tokenHashOf } from './session-cookie.ts'

/** A comparison takes a quarter of a second of one core: two at the same time, and one for each client. */
const COMPARISONS = { max: 2, maxPerKey: 1, waitingMaxPerKey: 10, waitMaxMs: 10_000 }
const USER_AGENT_CHARS_MAX = 300

export interface LoginForm {
  /**
   * Begins a session, and sends its cookie. The session of the request's cookie ends.
   * @throws Problem `wrong_password`, `too_many_guesses` or `cross_site`
   * @throws NoTurn while too many passwords are compared
   */
  logIn(request: FastifyRequest, reply: FastifyReply, login: { name: string; password: string }): Promise<Session>
  /** The hash to store for a new password. @throws NoTurn while too many passwords are compared */
  hashFor(request: FastifyRequest, password: string): Promise<string>
  /** Removes the cookie from the browser; the session is ended by the caller. */
  dropCookie(reply: FastifyReply): void
}

export interface LoginFormParts {
  readonly database: Database
  readonly devices: KnownDevices
  readonly throttle: GuessThrottle
  readonly builtIn: BuiltInPasswords
  readonly cookie: SessionCookie
  readonly publicUrl: string | undefined
}

/** Whose password was given. */
type Known = { readonly name: string; readonly projectId: string | null } & (
  | { readonly role: Role; readonly operatorId: string; readonly passwordHash: string }
  | { readonly role: BuiltInRole; readonly operatorId: null; readonly passwordHash: null }
)

export function createLoginForm(parts: LoginFormParts): LoginForm {
  const { database, devices, throttle, builtIn, cookie, publicUrl } = parts
  const turns = fairTurns(COMPARISONS)

  async function compare(request: FastifyRequest, guess: Guess, name: string, password: string): Promise<Known> {
    const giveBack = await turns.take(guess.client)
    try {
      throttle.checkAgain(guess)
      const operator = await findOperator(database, name)
      const isRight = await isPassword(password, operator?.passwordHash ?? NO_PASSWORD)
      if (operator !== null && isRight && operator.disabledAt === null) {
        const { id: operatorId, role, projectId, passwordHash } = operator
        return { name: operator.name, role, projectId, operatorId, passwordHash }
      }
      const role = operator === null ? builtIn.roleOf(password, guess.madeHash) : null
      if (role !== null) return { name, role, projectId: null, operatorId: null, passwordHash: null }
      await throttle.wrong(request, guess, operator?.name ?? 'unknown')
      throw new Problem('wrong_password')
    } finally {
      giveBack()
    }
  }

  async function begin(request: FastifyRequest, known: Known, token: string, madeHash: string | null) {
    const address = clientOf(request.ip)
    const replaced = cookie.read(request)
    const passwordProof = known.operatorId === null ? builtIn.proofOf(token, known.role, madeHash) : null
    const userAgent = request.headers['user-agent']?.slice(0, USER_AGENT_CHARS_MAX) ?? null
    const session = { ...known, tokenHash: tokenHashOf(token), passwordProof, userAgent, address }
    return await audited(
      database,
      { name: known.name, via: 'password', address, requestId: request.id },
      (within) => createSession(within, session, replaced === null ? null : tokenHashOf(replaced)),
      (made) => made && { action: 'logIn', subject: made.id, projectId: made.projectId },
    )
  }

  return {
    async logIn(request, reply, { name, password }) {
      // Without this check another site could log a browser in, and watch what its user does in that session.
      if (isCrossSite(request, publicUrl)) throw new Problem('cross_site')
      const device = devices.recognise(request)
      const guess = await throttle.begin(request, device)
      const known = await compare(request, guess, name, password)
      throttle.right(guess)
      // Never the token of the request: a token that another person has planted must not become a session.
      const token = newToken()
      const session = await begin(request, known, token, guess.madeHash)
      if (session === null) throw new Problem('wrong_password')
      if (session.role === 'operator' && device === null) devices.remember(reply)
      cookie.set(reply, token)
      await purgeSessions(database, session)
      return session
    },
    async hashFor(request, password) {
      const giveBack = await turns.take(`hash for ${clientOf(request.ip)}`)
      return await hashPassword(password).finally(giveBack)
    },
    dropCookie: (reply) => cookie.clear(reply),
  }
}
