// Reads a Retry-After header: seconds or an HTTP date. It is a hint from outside, so it is clamped: a provider
// that says "tomorrow" must not park a generation past its video's one-day life.

/** The longest wait a provider can ask for. */
export const RETRY_AFTER_MAX_MS = 3_600_000

/** Milliseconds to wait, 0 to RETRY_AFTER_MAX_MS, or null when the header is absent or unreadable. */
export function parseRetryAfter(header: string | null, nowMs: number): number | null {
  if (header === null) return null
  const text = header.trim()
  if (/^\d{1,15}(\.\d{1,9})?$/.test(text)) return clamp(Number(text) * 1000)
  // Date.parse alone would take "-5" or "7 apples" for a date.
  if (!/^[A-Za-z]{3,9},? /.test(text)) return null
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? null : clamp(atMs - nowMs)
}

function clamp(ms: number): number {
  return Math.min(Math.max(Math.ceil(ms), 0), RETRY_AFTER_MAX_MS)
}
