// The form of an image URL, as accepted, stored and sent. The provider fetches the image, so the URL must lead into the
// internet.

/** A presigned URL of a cloud's storage may have some thousand characters. */
export const IMAGE_URL_CHARS_MAX = 8_192

export type ImageUrlCheck =
  /** `href`: the URL as the URL parser writes it, with the host in Punycode and spaces escaped. */
  | { readonly ok: true; readonly href: string }
  | { readonly ok: false; readonly rule: 'max_length' | 'http_url'; readonly allowed: number | string }

const HTTP_URL = 'an absolute http or https URL'

/** Characters that spreadsheets and web pages leave around a URL. */
const AROUND = /^[\s\p{Cc}\p{Cf}]+|[\s\p{Cc}\p{Cf}]+$/gu

/** Checks an image URL: absolute, http or https, at most 8,192 characters, no control character inside. */
export function checkImageUrl(raw: string): ImageUrlCheck {
  // Too long for any use: parsing megabytes would cost more than the answer is worth.
  if (raw.length > IMAGE_URL_CHARS_MAX) return TOO_LONG
  const text = raw.replace(AROUND, '')
  // The URL parser would drop a line break inside, and make one URL of two.
  if (/\p{Cc}/u.test(text)) return { ok: false, rule: 'http_url', allowed: `${HTTP_URL} without control characters` }
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'http:' && url.protocol !== 'https:') || /^\.*$/.test(url.hostname))
    return { ok: false, rule: 'http_url', allowed: HTTP_URL }
  return url.href.length > IMAGE_URL_CHARS_MAX ? TOO_LONG : { ok: true, href: url.href }
}

const TOO_LONG = { ok: false, rule: 'max_length', allowed: IMAGE_URL_CHARS_MAX } as const

/**
 * Names of no server in the internet (RFC 6761, 6762, 7686, 8375 and ICANN's `internal`), and further names used by
 * private networks.
 */
const PRIVATE_NAMES =
  /(^|\.)(localhost|local|localdomain|internal|intranet|private|lan|home|corp|home\.arpa|test|invalid|onion)$/

/**
 * Whether the name of a URL's host alone shows a private network. Nothing is resolved. False for a text that is not a
 * URL.
 */
export function hasPrivateHost(raw: string): boolean {
  const host = URL.parse(raw.replace(AROUND, ''))?.hostname.replace(/\.$/, '') ?? ''
  if (host === '') return false
  if (host.startsWith('[')) return isPrivateIpv6(host.slice(1, -1))
  // The URL parser writes every spelling of an IPv4 address (2130706433, 0x7f.1, 0177.0.0.1) in four decimal parts.
  const parts = /^(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(host)
  if (parts) return isPrivateIpv4(Number(parts[1]), Number(parts[2]), Number(parts[3]))
  return !host.includes('.') || PRIVATE_NAMES.test(host)
}

/** By IANA's registry of special-purpose addresses: every address that is not globally reachable. */
function isPrivateIpv4(a: number, b: number, c: number): boolean {
  if (a === 0 || a === 10 || a === 127 || a >= 224) return true
  if (a === 100) return b >= 64 && b < 128
  if (a === 169) return b === 254
  if (a === 172) return b >= 16 && b < 32
  if (a === 192) return b === 168 || (b === 0 && (c === 0 || c === 2)) || (b === 88 && c === 99)
  if (a === 198) return b === 18 || b === 19 || (b === 51 && c === 100)
  return a === 203 && b === 0 && c === 113
}

/** Global unicast is 2000::/3. Within this range, Teredo, documentation and 6to4 addresses lead elsewhere. */
function isPrivateIpv6(address: string): boolean {
  const [first = 0, second = 0] = address.split(':').map((group) => Number.parseInt(group || '0', 16))
  if (first < 0x2000 || first > 0x3fff) return true
  return first === 0x2002 || (first === 0x2001 && (second < 0x200 || second === 0xdb8))
}
