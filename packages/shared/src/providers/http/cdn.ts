// Cloudflare's own error pages, and the statuses that prove an unreached server. 520, 522 and 524 are excluded on
// purpose: each can follow a received request (522 also means an accepted connection without an acknowledged request).

/**
 * Statuses used by Cloudflare only: connection refused; no route or no address; TLS handshake failed; certificate
 * refused.
 */
const NEVER_REACHED: ReadonlySet<number> = new Set([521, 523, 525, 526])
/** With status 530: the server's name has no address (1016); the tunnel to the server is down (1033). */
const NEVER_REACHED_530 = /\b(error code:?\s*|"?error_code"?\s*:\s*)(1016|1033)\b/i

/**
 * Whether the CDN itself says that the request never reached the server: certainly not paid.
 * @param isCloudflare whether the reply has Cloudflare's headers
 */
export function neverReachedOrigin(httpStatus: number, isCloudflare: boolean, text: string): boolean {
  if (!isCloudflare) return false
  return NEVER_REACHED.has(httpStatus) || (httpStatus === 530 && NEVER_REACHED_530.test(text))
}
