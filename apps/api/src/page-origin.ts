// Browser policy of our replies. Our pages load nothing from another origin, neither through a library's HTML nor
// through scripts. Operators' browsers may have no internet access, and no third party may learn about visits.

import type { FastifyInstance } from 'fastify'

/** Inline styles are allowed because the libraries write inline styles; inline scripts are not allowed. */
const POLICY = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "object-src 'none'",
  "base-uri 'self'",
  "form-action 'self'",
  "frame-ancestors 'none'",
].join('; ')

/** Elements that load from another origin: `<link rel="stylesheet" href="https://fonts…">`. */
const FROM_ELSEWHERE = /<link\b[^>]*\bhref=["']?(?:https?:)?\/\/[^>]*>/gi

/** Headers of every reply. HSTS is left to the proxy that terminates https. */
export const REPLY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  // A reply that is not a page loads nothing, even when opened as a page.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
} as const

/** Must be registered before the compression of replies. */
export function guardPages(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    reply.headers(REPLY_HEADERS)
    const type = String(reply.getHeader('content-type') ?? '')
    // No cache may keep the data of a tenant or an operator.
    if (/\bjson\b/.test(type) && !reply.hasHeader('cache-control')) reply.header('cache-control', 'no-store')
    if (!type.startsWith('text/html')) {
      done(null, payload)
      return
    }
    reply.header('content-security-policy', POLICY)
    if (typeof payload !== 'string') {
      done(null, payload)
      return
    }
    reply.removeHeader('content-length')
    done(null, payload.replace(FROM_ELSEWHERE, ''))
  })
}
