// The rules of the forms that environment variables may have.

import { isIPv4, isIPv6 } from 'node:net'
import { models } from '@reelqueue/contract/terms/models'
import ipaddr from 'ipaddr.js'
import { z } from 'zod'

/** An empty variable counts as absent: people write `FOO=` in an .env file to leave a variable unset. */
export const text = z.string().min(1)

/** A whole number from `min` to `max`. */
export function whole(min: number, max: number) {
  const rule = `must be a whole number from ${min} to ${max}`
  return z.coerce.number(rule).int(rule).min(min, rule).max(max, rule)
}

export const port = whole(0, 65_535)

export function url(...schemes: string[]) {
  return text.refine(
    (value) => URL.canParse(value) && schemes.includes(new URL(value).protocol.slice(0, -1)),
    `must be a URL that begins with ${schemes.map((scheme) => `${scheme}://`).join(' or ')}`,
  )
}

/** All four parts in decimal are required: "10/8" would silently mean 0.0.0.10/8. */
function isNetwork(part: string): boolean {
  return ipaddr.IPv4.isValidCIDRFourPartDecimal(part) || ipaddr.IPv6.isValidCIDR(part)
}

/** First segments of our own paths. Below a public URL with such a segment, a path prefix and our own path look the same. */
const OWN_PATHS = ['v1', 'admin', 'docs', 'openapi.json', 'healthz', 'readyz', 'metrics']

export const publicUrl = url('http', 'https')
  .refine(
    (value) => !URL.canParse(value) || /^[^?#@]*$/.test(value),
    'must have no user name, password, query or fragment',
  )
  .refine(
    (value) => !URL.canParse(value) || !OWN_PATHS.includes(new URL(value).pathname.split('/')[1] ?? ''),
    `must be what stands in front of Reelqueue's own paths (${OWN_PATHS.map((path) => `/${path}`).join(', ')})`,
  )
  .transform((value) => new URL(value).href.replace(/\/+$/, ''))

/** A proxy URL without a scheme means http, as in other programs. */
export const proxyUrl = text
  .transform((value) => (value.includes('://') ? value : `http://${value}`))
  .refine(
    isProxyUrl,
    'must be the URL of a proxy that speaks HTTP, such as http://proxy.example.com:3128 (user:password@ before the host)',
  )

function isProxyUrl(value: string): boolean {
  if (!URL.canParse(value)) return false
  const { protocol, username, password, pathname, search, hash } = new URL(value)
  try {
    decodeURIComponent(username + password)
  } catch {
    return false
  }
  return ['http:', 'https:'].includes(protocol) && pathname === '/' && search + hash === ''
}

export const networks = z
  .string()
  .transform((value) =>
    value
      .split(',')
      .map((part) => part.trim())
      .filter(Boolean)
      .map((part) => (isIPv4(part) ? `${part}/32` : isIPv6(part) ? `${part}/128` : part)),
  )
  .refine((parts) => parts.every(isNetwork), 'must be networks such as 10.0.0.0/8,fd00::/8')

export const slotsPerModel = z
  .string()
  .transform((value) => value.split(',').map((part) => part.split('=').map((side) => side.trim())))
  .refine(
    (pairs) =>
      pairs.every(
        ([model = '', slots = '', ...more]) => model in models && /^[1-9]\d{0,5}$/.test(slots) && more.length === 0,
      ),
    `must be such as openAiSora2Pro=20,openAiSora2Plus=60; models: ${Object.keys(models).join(', ')}`,
  )
  .transform((pairs) => Object.fromEntries(pairs.map(([model = '', slots]) => [model, Number(slots)])))

export const secretKey = text.refine(
  (value) => Buffer.from(value, 'base64').length === 32,
  'must be 32 bytes in base64 (openssl rand -base64 32)',
)
