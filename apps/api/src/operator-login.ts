// Login of operators: the cookie of a session, or Basic with a built-in password for scripts and Prometheus. Neither a
// header nor a socket address proves a local user. A request without a login costs no statement.

import { ROUTES } from '@reelqueue/contract/routes'
import { permissionOf, type Route } from '@reelqueue/contract/routes/route'
import { Problem } from '@reelqueue/contract/terms/problem'
import { may, type Role } from '@reelqueue/contract/terms/roles'
import { clientOf } from '@reelqueue/shared/runtime/client-address'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import type { Actor } from '@reelqueue/shared/store/operator/audit'
import type { Session } from '@reelqueue/shared/store/operator/sessions'
import type { Sealer } from '@reelqueue/shared/webhooks/seal'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { createBuiltInPasswords, type PasswordSettings } from './built-in-passwords.ts'
import { isCrossSite } from './cross-site.ts'
import { createGuessThrottle } from './guess-throttle.ts'
import { createKnownDevices } from './known-device.ts'
import { createLoginForm, type LoginForm } from './login-form.ts'
import { createSessionCookie } from './session-cookie.ts'
import { createSessionLookup } from './session-lookup.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Who sent the request; set before any handler of a route for operators runs. */
    operator: CurrentOperator
  }
}

/** The operator who sent a request. */
export interface CurrentOperator extends Actor {
  readonly role: Role
  /** The project of a member; null for other roles. */
  readonly projectId: string | null
  /** Null: the request has a password. */
  readonly session: Session | null
}

/** The project that a member is bound to: handlers read nothing else for a member. Undefined: all projects. */
export function scopeOf({ operator }: Pick<FastifyRequest, 'operator'>): string | undefined {
  return operator.projectId ?? undefined
}

export interface OperatorLogin extends LoginForm {
  /**
   * @throws Problem `operator_login_required`, `too_many_guesses`, `cross_site`; `read_only` for a change, and
   * `not_allowed` for a read, that the role may not make
   */
  require(request: FastifyRequest, reply: FastifyReply): Promise<void>
}

export interface LoginSettings extends PasswordSettings {
  readonly publicUrl: string | undefined
}

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS']

export interface LoginParts {
  readonly database: Database
  readonly sealer: Sealer
  readonly log: Logger
}

export function createOperatorLogin({ database, sealer, log }: LoginParts, settings: LoginSettings): OperatorLogin {
  const { publicUrl } = settings
  const devices = createKnownDevices(sealer, publicUrl)
  const throttle = createGuessThrottle(database, log)
  const builtIn = createBuiltInPasswords(settings)
  const cookie = createSessionCookie(publicUrl)
  const findSession = createSessionLookup(database, cookie, builtIn)

  async function byPassword(request: FastifyRequest, reply: FastifyReply): Promise<CurrentOperator> {
    const password = basicPassword(request.headers.authorization)
    if (password === null) throw new Problem('operator_login_required')
    const device = devices.recognise(request)
    const guess = await throttle.begin(request, device)
    const role = builtIn.roleOf(password, guess.madeHash)
    if (role === null) {
      await throttle.wrong(request, guess, 'unknown')
      throw new Problem('operator_login_required')
    }
    throttle.right(guess)
    // Only browsers get a cookie: other programs do not request HTML.
    const isBrowser = request.headers.accept?.includes('text/html') ?? false
    if (role === 'operator' && device === null && isBrowser) devices.remember(reply)
    return { name: role, role, projectId: null, via: 'password', session: null, ...originOf(request) }
  }

  return {
    ...createLoginForm({ database, devices, throttle, builtIn, cookie, publicUrl }),
    async require(request, reply) {
      const isSafe = SAFE_METHODS.includes(request.method)
      // A browser adds the login by itself: a page of another site must not use the login.
      if (!isSafe && isCrossSite(request, publicUrl)) throw new Problem('cross_site')
      const session = await findSession(request)
      const operator = session === null ? await byPassword(request, reply) : ofSession(session, request)
      checkPermission(request, operator.role, isSafe)
      request.operator = operator
    },
  }
}

function ofSession(session: Session, request: FastifyRequest): CurrentOperator {
  const { name, role, projectId } = session
  return { name, role, projectId, via: 'session', session, ...originOf(request) }
}

const originOf = ({ ip, id }: FastifyRequest) => ({ address: clientOf(ip), requestId: id })

/** Routes without a row, such as those of the queue dashboard: anyone who sees all projects may read. */
function checkPermission({ routeOptions }: FastifyRequest, role: Role, isSafe: boolean): void {
  const { operationId } = routeOptions.config
  const row: Route | undefined = operationId === undefined ? undefined : ROUTES[operationId]
  const permission = row ? permissionOf(row) : isSafe ? 'see_all' : 'act'
  if (!may(role, permission)) throw new Problem(isSafe ? 'not_allowed' : 'read_only')
}

function basicPassword(header: string | undefined): string | null {
  const [, encoded] = /^Basic +(\S+)$/i.exec(header ?? '') ?? []
  if (encoded === undefined) return null
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon < 0 ? null : decoded.slice(colon + 1)
}
