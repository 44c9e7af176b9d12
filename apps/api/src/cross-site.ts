// Whether a page of another site made the browser send a request, with the login that the browser adds by itself.

import type { FastifyRequest } from 'fastify'

/**
 * Browsers say so in `Sec-Fetch-Site`, which no page can set and no proxy changes. Over plain http they send only `Origin`, and a
 * proxy may have replaced the host to compare it with: then PUBLIC_URL tells. Other programs send neither.
 */
export function isCrossSite(request: FastifyRequest, publicUrl: string | undefined): boolean {
  const site = request.headers['sec-fetch-site']
  if (site !== undefined) return site !== 'same-origin' && site !== 'none'
  const origin = request.headers.origin
  if (origin === undefined) return false
  if (!URL.canParse(origin)) return true
  if (publicUrl !== undefined && new URL(publicUrl).origin === new URL(origin).origin) return false
  return new URL(origin).host !== request.host
}
