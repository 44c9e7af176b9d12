// What a request for operators gets without a login. The console has a form of its own, so its requests never make the
// browser ask for a name and a password.

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyInstance {
    /** Whether `GET /login` is a page with the form. */
    hasLoginPage: boolean
  }
}

/** Must be called before `leadToLoginPage`. */
export function withoutLoginPage(fastify: FastifyInstance): void {
  fastify.decorate('hasLoginPage', false)
}

/** From now on a browser without a login is led to `GET /login`. `fastify`: the root of the API. */
export function leadToLoginPage(fastify: FastifyInstance): void {
  fastify.hasLoginPage = true
}

const CONSOLE_API = /^\/admin\/v1(?:\/|\?|$)/

/** Whether a refusal has `WWW-Authenticate: Basic`, for which a browser asks for a name and a password. */
export function asksForBasic(request: FastifyRequest): boolean {
  const { url, headers, server } = request
  if (/^Basic\b/i.test(headers.authorization ?? '')) return true
  return !CONSOLE_API.test(url) && !(server.hasLoginPage && acceptsPages(request))
}

const acceptsPages = ({ headers }: FastifyRequest) => headers.accept?.includes('text/html') ?? false

/**
 * Sends a browser that opens a page without a login to the login page; null for other requests.
 * The address is relative to the page, because a proxy may have removed a path that the API does not know.
 */
export function redirectToLogin(request: FastifyRequest, reply: FastifyReply): FastifyReply | null {
  const { method, url, headers, server } = request
  const isPage = method === 'GET' && acceptsPages(request) && !CONSOLE_API.test(url)
  if (!server.hasLoginPage || !isPage || headers.authorization !== undefined) return null
  const [path = ''] = url.split('?', 1)
  const up = '../'.repeat(path.split('/').length - 2) || './'
  const next = encodeURIComponent(url.replace(/^\/+/, ''))
  return reply.header('cache-control', 'no-store').redirect(`${up}login?next=${next}`)
}
