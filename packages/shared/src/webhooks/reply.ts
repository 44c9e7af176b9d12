// What is kept of an endpoint's reply. All of it was chosen by a stranger: bounded, and made safe for Postgres text,
// which refuses U+0000 and text that is not well-formed.

const RETRY_AFTER_MS_MAX = 24 * 60 * 60 * 1_000

/**
 * Decodes `bytes` as UTF-8 into text of at most `bytesMax` bytes that Postgres can store: what is not UTF-8 and U+0000
 * become U+FFFD, and a character cut off at the end is dropped.
 */
export function storableText(bytes: Uint8Array, bytesMax: number): string {
  const decoded = new TextDecoder().decode(bytes.subarray(0, bytesMax), { stream: true })
  const text = decoded.replaceAll('\0', '\uFFFD')
  // U+FFFD is longer than what it replaces, hence the second cut.
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(bytesMax))
  return text.slice(0, read)
}

/**
 * Reads a `Retry-After` value, whole seconds or an HTTP date, as ms from `now`: 0 to 24 h. Null when there is none or
 * it is neither form.
 */
export function retryAfterMs(value: string | string[] | undefined, now: Date): number | null {
  const text = (Array.isArray(value) ? value[0] : value)?.trim() ?? ''
  const wait = /^\d+$/.test(text) ? Number(text) * 1_000 : httpDateMs(text) - now.getTime()
  return Number.isNaN(wait) ? null : Math.min(Math.max(wait, 0), RETRY_AFTER_MS_MAX)
}

function httpDateMs(text: string): number {
  // Date.parse alone takes nearly anything with a digit in it.
  return text.endsWith('GMT') ? Date.parse(text) : Number.NaN
}
