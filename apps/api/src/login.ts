// Who may come in: programs with an API key, operators with the password.

import { createHash, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import { Problem } from '@reelqueue/shared/domain/problem'
import { type CallingProject, hashOf } from '@reelqueue/shared/store/projects'
import type { FastifyRequest } from 'fastify'
import type { ApiDeps, ApiSettings } from './deps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route's own statement looks whether the key is alive (known-keys.ts). */
    looksAtKey?: boolean
  }
  interface FastifyRequest {
    /** The project whose key the request carries; set before any handler under /v1 runs. */
    project: CallingProject
    /** Of the API key that the request carries. */
    keyHash: string
  }
}

/** The API key that a request shows. */
export function keyOf(request: FastifyRequest): string | undefined {
  return /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}

/** Finds the project of the request's API key. @throws Problem `unauthorized` */
export async function requireProject({ keys }: ApiDeps, request: FastifyRequest): Promise<void> {
  const key = keyOf(request)
  if (key === undefined) throw new Problem('unauthorized')
  const keyHash = hashOf(key)
  const recalled = request.routeOptions.config.looksAtKey ? keys.recall(keyHash) : null
  const project = recalled ?? (await keys.find(keyHash))
  if (!project) throw new Problem('unauthorized')
  request.project = project
  request.keyHash = keyHash
}

const FORWARDING_HEADERS = ['forwarded', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'via']
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS']

/**
 * Lets operators in: by password, or without one from the same machine only.
 * @throws Problem `operator_login_required`, or `read_only` for a viewer who wants to change something
 */
export function requireOperator(settings: ApiSettings, request: FastifyRequest): void {
  const safe = SAFE_METHODS.includes(request.method)
  // A browser sends the login by itself: another site's page must not be able to use it.
  if (!safe && isCrossSite(request, settings.publicUrl)) throw new Problem('cross_site')
  if (settings.operatorPassword === undefined) {
    if (isLocal(request)) return
    throw new Problem('operator_login_required')
  }
  const password = basicPassword(request.headers.authorization)
  if (password !== null && sameText(password, settings.operatorPassword)) return
  if (password !== null && settings.viewerPassword !== undefined && sameText(password, settings.viewerPassword)) {
    if (safe) return
    throw new Problem('read_only')
  }
  throw new Problem('operator_login_required')
}

/**
 * Whether a page of another site made the browser send this. Browsers say so in `Sec-Fetch-Site`, which no page can set and no
 * proxy changes; over plain http they send only `Origin`, and a proxy may have replaced the host to compare it with. Other
 * programs send neither.
 */
function isCrossSite(request: FastifyRequest, publicUrl: string | undefined): boolean {
  const site = request.headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const origin = request.headers.origin
  if (origin === undefined) return false
  if (!URL.canParse(origin)) return true
  if (publicUrl !== undefined && new URL(publicUrl).origin === new URL(origin).origin) return false
  return new URL(origin).host !== request.host
}

function isLocal(request: FastifyRequest): boolean {
  const host = request.headers.host ?? ''
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : ''
  return (
    isLoopback(request.ip) &&
    // A name of the attacker's own may resolve to this machine.
    (name === 'localhost' || isLoopback(name.replace(/^\[|\]$/g, ''))) &&
    FORWARDING_HEADERS.every((header) => request.headers[header] === undefined)
  )
}

function isLoopback(address: string): boolean {
  const ip = address.replace(/^::ffff:/, '')
  return isIP(ip) === 4 ? ip.startsWith('127.') : ip === '::1'
}

function basicPassword(header: string | undefined): string | null {
  const [, encoded] = /^Basic +(\S+)$/i.exec(header ?? '') ?? []
  if (encoded === undefined) return null
  const decoded = Buffer.from(encoded, 'base64').toString('utf8')
  const colon = decoded.indexOf(':')
  return colon < 0 ? null : decoded.slice(colon + 1)
}

/** Compares hashes, so that neither content nor length shows in the time taken. */
function sameText(one: string, other: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(one), hash(other))
}
