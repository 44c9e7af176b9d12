// Whether a page of another site made the browser send a request, with the login added by the browser.

import type { FastifyRequest } from 'fastify'

/**
 * Browsers send `Sec-Fetch-Site`, which no page can set and no proxy changes. Over plain http a browser sends only
 * `Origin`; a proxy may have replaced the host to compare with, so PUBLIC_URL is compared too. Other programs send
 * neither header.
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
