// Error pages that Cloudflare sends in place of a server behind it, and which of them say that the request never reached it.
// Left out on purpose: 520, 522 and 524, which can follow a request that the server has got (522 also means that the server
// took the connection and then did not acknowledge the request).

/** Statuses of Cloudflare alone: connection refused; no route or no address; TLS handshake failed; certificate refused. */
const NEVER_REACHED: ReadonlySet<number> = new Set([521, 523, 525, 526])
/** With status 530: the name of the server has no address (1016); the tunnel to it is down (1033). */
const NEVER_REACHED_530 = /\b(error code:?\s*|"?error_code"?\s*:\s*)(1016|1033)\b/i

/**
 * Whether the CDN itself says that the request never left it for the server: certainly not paid.
 * @param isCloudflare whether the headers of the answer are Cloudflare's
 */
export function neverReachedOrigin(httpStatus: number, isCloudflare: boolean, text: string): boolean {
  if (!isCloudflare) return false
  return NEVER_REACHED.has(httpStatus) || (httpStatus === 530 && NEVER_REACHED_530.test(text))
}
