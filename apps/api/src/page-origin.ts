// What browsers may do with our replies. No page that we serve loads anything from elsewhere: not by what a library writes into it, nor
// by what its scripts would ask for. Operators' browsers may stand in networks without the internet, and where they look concerns nobody else.

import type { FastifyInstance } from 'fastify'

/** Styles within the page are allowed, since the libraries write them; scripts are not. */
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

/** What a page loads by itself from another origin: `<link rel="stylesheet" href="https://fonts…">`. */
const FROM_ELSEWHERE = /<link\b[^>]*\bhref=["']?(?:https?:)?\/\/[^>]*>/gi

/** Of every reply. Whether https is enforced is said by whoever ends it: the proxy in front. */
export const REPLY_HEADERS = {
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'x-frame-options': 'DENY',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=()',
  // What is no page loads nothing, also when it is opened like one.
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
} as const

/** Must be registered before replies are compressed. */
export function guardPages(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    reply.headers(REPLY_HEADERS)
    const type = String(reply.getHeader('content-type') ?? '')
    // What belongs to one tenant or operator is kept by no cache.
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
