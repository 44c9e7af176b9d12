// Reads a Retry-After header: seconds or an HTTP date. The header is a hint from outside, so the wait is clamped: "next
// year" must not park our work until then.

/**
 * Milliseconds to wait, 0 to `maxMs`, or null when the header is absent or unreadable.
 * @param nowMs unix time in ms, for dates
 */
export function parseRetryAfter(header: string | null | undefined, nowMs: number, maxMs: number): number | null {
  const text = header?.trim() ?? ''
  const clamp = (ms: number) => Math.min(Math.max(Math.ceil(ms), 0), maxMs)
  if (/^\d{1,15}(\.\d{1,9})?$/.test(text)) return clamp(Number(text) * 1_000)
  // Date.parse alone would take "-5" or "7 apples" for a date.
  if (!/^[A-Za-z]{3,9},? .*GMT$/.test(text)) return null
  const atMs = Date.parse(text)
  return Number.isNaN(atMs) ? null : clamp(atMs - nowMs)
}
