// The headers that a customer may add to the webhooks of an endpoint, mostly to pass the customer's own gateway.
// Headers written by HTTP or by Reelqueue are excluded, because they frame, sign and describe the body.

/** Together below the 16 KB of headers that common servers accept. */
export const HEADERS_MAX = 10
export const HEADER_NAME_CHARS_MAX = 100
export const HEADER_VALUE_CHARS_MAX = 1_000

/** A token of RFC 9110. */
const NAME = /^[!#$%&'*+.^_`|~0-9a-z-]+$/i
/** Latin-1 without control characters, because a header is bytes. White space at an end would not arrive. */
const VALUE = /^[\x21-\x7e\xa1-\xff](?:[\x20-\x7e\xa0-\xff]*[\x21-\x7e\xa1-\xff])?$/

const OURS = new Set(
  'accept-encoding connection date expect host http2-settings keep-alive te trailer transfer-encoding upgrade user-agent'.split(
    ' ',
  ),
)
const OUR_PREFIXES = ['content-', 'proxy-', 'webhook-']

/** The fault of a name, in words that complete "it must be …"; null without a fault. */
export function nameFault(name: string): string | null {
  if (!NAME.test(name) || name.length > HEADER_NAME_CHARS_MAX)
    return `a header name of ${HEADER_NAME_CHARS_MAX} characters at most: letters, digits and hyphens`
  const lower = name.toLowerCase()
  return OURS.has(lower) || OUR_PREFIXES.some((prefix) => lower.startsWith(prefix))
    ? 'another header: this one is set by Reelqueue or by HTTP itself'
    : null
}

/** The fault of a value, in the same form. Never repeats the value. */
export function valueFault(value: string): string | null {
  return value.length <= HEADER_VALUE_CHARS_MAX && VALUE.test(value)
    ? null
    : `1 to ${HEADER_VALUE_CHARS_MAX.toLocaleString('en')} characters of Latin-1, without line breaks, and without white space at its ends`
}

/** The changes of headers: values by name in lower case; null removes a header. */
export type HeaderChanges = ReadonlyMap<string, string | null>

/** The headers after a change; `'all'` removes all headers. Pure. */
export function changedHeaders(
  before: Readonly<Record<string, string>>,
  change: HeaderChanges | 'all',
): Record<string, string> {
  if (change === 'all') return {}
  const after = new Map(Object.entries(before))
  for (const [name, value] of change) {
    if (value === null) after.delete(name)
    else after.set(name, value)
  }
  return Object.fromEntries(after)
}
