// Operator login, by password only: neither a header nor a socket address proves a local user. Wrong passwords are
// counted in Postgres, together for all API processes. A request without a login costs no statement.

import { createHash, timingSafeEqual } from 'node:crypto'
import { Later, Problem } from '@reelqueue/contract/terms/problem'
import type { Role } from '@reelqueue/contract/terms/roles'
import { ADDRESS_LIMIT, NAME_LIMIT } from '@reelqueue/shared/domain/login-guess'
import { clientOf } from '@reelqueue/shared/runtime/client-address'
import type { Logger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import type { Actor } from '@reelqueue/shared/store/operator/audit'
import { countWrong, purgeGuesses, readLogin, type StoredLogin } from '@reelqueue/shared/store/operator/operator-login'
import type { Sealer } from '@reelqueue/shared/webhooks/seal'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { isCrossSite } from './cross-site.ts'
import { createKnownDevices } from './known-device.ts'

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
}

export interface OperatorLogin {
  /**
   * @throws Problem `operator_login_required`, `too_many_guesses`, `cross_site`, or `read_only` when a viewer requests
   * a change
   */
  require(request: FastifyRequest, reply: FastifyReply): Promise<void>
}

export interface LoginSettings {
  /** Undefined: the password generated at the first start is valid. */
  readonly operatorPassword: string | undefined
  /** Password of viewers: read-only access. */
  readonly viewerPassword: string | undefined
  readonly publicUrl: string | undefined
}

const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS']
/** The user name does not matter, so all guesses count for a single name. */
const NAME_KEY = 'name operator'
const REMEMBERED_MAX = 1_000

export interface LoginParts {
  readonly database: Database
  readonly sealer: Sealer
  readonly log: Logger
}

export function createOperatorLogin({ database, sealer, log }: LoginParts, settings: LoginSettings): OperatorLogin {
  const devices = createKnownDevices(sealer, settings.publicUrl)
  /** Blocked clients with the end of the wait: a flood of guesses costs no statement. */
  const waiting = new Map<string, number>()
  /** Clients that gave the right password before: guesses of other clients do not block them. */
  const letIn = new Set<string>()

  function refuseFor(client: string, waitMs: number): never {
    if (!waiting.has(client)) {
      if (waiting.size >= REMEMBERED_MAX) waiting.clear()
      log.warn({ event: 'operator.login_blocked', client, waitMs: Math.ceil(waitMs) })
    }
    waiting.set(client, performance.now() + waitMs)
    throw tooMany(waitMs)
  }

  function checkWaiting(client: string): void {
    const leftMs = (waiting.get(client) ?? 0) - performance.now()
    if (leftMs > 0) throw tooMany(leftMs)
    waiting.delete(client)
  }

  async function refuseWrong(client: string): Promise<never> {
    if (!(await countWrong(database, client, ADDRESS_LIMIT))) {
      const { addressWaitMs } = await readLogin(database, client, NAME_KEY)
      refuseFor(client, addressWaitMs ?? 1_000)
    }
    await countWrong(database, NAME_KEY, NAME_LIMIT)
    await purgeGuesses(database, ADDRESS_LIMIT.purgedAfterMs)
    throw new Problem('operator_login_required')
  }

  function roleOf(password: string, { hash }: StoredLogin): 'operator' | 'viewer' | null {
    const { operatorPassword, viewerPassword } = settings
    const expected = operatorPassword === undefined ? hash : hashOf(operatorPassword)
    const given = hashOf(password)
    if (expected !== null && sameHash(given, expected)) return 'operator'
    return viewerPassword !== undefined && sameHash(given, hashOf(viewerPassword)) ? 'viewer' : null
  }

  return {
    async require(request, reply) {
      const safe = SAFE_METHODS.includes(request.method)
      // A browser adds the login by itself: a page of another site must not use the login.
      if (!safe && isCrossSite(request, settings.publicUrl)) throw new Problem('cross_site')
      const password = basicPassword(request.headers.authorization)
      if (password === null) throw new Problem('operator_login_required')
      const device = devices.recognise(request)
      const client = device === null ? `address ${clientOf(request.ip)}` : `device ${device}`
      checkWaiting(client)
      const stored = await readLogin(database, client, NAME_KEY)
      if (stored.addressWaitMs !== null) refuseFor(client, stored.addressWaitMs)
      if (stored.nameWaitMs !== null && device === null && !letIn.has(client)) throw tooMany(stored.nameWaitMs)
      const role = roleOf(password, stored)
      if (role === null) return await refuseWrong(client)
      if (letIn.size >= REMEMBERED_MAX) letIn.clear()
      letIn.add(client)
      // Operators only: each new device has a separate number of guesses at the operator's password.
      if (role === 'operator' && device === null) devices.remember(request, reply)
      if (role === 'viewer' && !safe) throw new Problem('read_only')
      request.operator = {
        name: role,
        role,
        projectId: null,
        via: 'password',
        address: clientOf(request.ip),
        requestId: request.id,
      }
    },
  }
}

const tooMany = (waitMs: number) => new Later('too_many_guesses', Math.ceil(waitMs / 1_000))

function basicPassword(header: string | undefined): string | null {
  const [, encoded] = /^Basic +(\S+)$/i.exec(header ?? '') ?? []
  if (encoded === undefined) return null
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon < 0 ? null : decoded.slice(colon + 1)
}

/** Comparing hashes keeps content and length out of the time taken. */
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')
const sameHash = (one: string, other: string) => timingSafeEqual(Buffer.from(one), Buffer.from(other))
