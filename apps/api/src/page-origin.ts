// No page that we serve loads anything from elsewhere: not by what a library writes into it, nor by what its scripts would ask for.
// Operators' browsers may stand in networks without the internet, and where they look concerns nobody else.

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

/** Holds for every reply that is a page. Must be registered before replies are compressed. */
export function keepPagesAtHome(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (_request, reply, payload, done) => {
    if (!String(reply.getHeader('content-type') ?? '').startsWith('text/html')) {
      done(null, payload)
      return
    }
    reply.header('content-security-policy', POLICY).header('x-content-type-options', 'nosniff')
    if (typeof payload !== 'string') {
      done(null, payload)
      return
    }
    reply.removeHeader('content-length')
    done(null, payload.replace(FROM_ELSEWHERE, ''))
  })
}
