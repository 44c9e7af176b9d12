// Chooses the proxy for the provider by the usual environment settings. Pure.

import ipaddr from 'ipaddr.js'

/** The settings HTTPS_PROXY, HTTP_PROXY and NO_PROXY; undefined when not set. */
export interface ProxySettings {
  readonly httpsProxy: string | undefined
  readonly httpProxy: string | undefined
  readonly noProxy: string | undefined
}

export interface ProxyChoice {
  /** The proxy's URL, including a password; null: a direct connection. */
  readonly proxy: string | null
  /** The deciding setting; null without a setting. */
  readonly setting: 'HTTPS_PROXY' | 'HTTP_PROXY' | 'NO_PROXY' | null
}

/** The proxy of a URL: HTTPS_PROXY for https, HTTP_PROXY for http, unless NO_PROXY contains the host. */
export function chooseProxy(url: string, { httpsProxy, httpProxy, noProxy }: ProxySettings): ProxyChoice {
  const { protocol, hostname, port } = new URL(url)
  const secure = protocol === 'https:'
  const proxy = secure ? httpsProxy : httpProxy
  if (proxy === undefined) return { proxy: null, setting: null }
  const exempt = (noProxy ?? '').split(/[\s,]+/).some((entry) => {
    return entry !== '' && isNamed(entry, withoutBrackets(hostname), Number(port || (secure ? 443 : 80)))
  })
  return exempt ? { proxy: null, setting: 'NO_PROXY' } : { proxy, setting: secure ? 'HTTPS_PROXY' : 'HTTP_PROXY' }
}

/** Scheme, host and port of a proxy, safe to show. */
export function proxyName(proxy: string): string {
  const { protocol, host } = new URL(proxy)
  return `${protocol}//${host}`
}

/** An entry is `*`, a host with or without a port (subdomains included), or a network such as 10.0.0.0/8. */
function isNamed(entry: string, host: string, port: number): boolean {
  if (entry === '*') return true
  if (entry.includes('/')) return isInNetwork(host, entry)
  const [, name = entry, entryPort] = /^(\[[^\]]*\]|[^:]*):(\d+)$/.exec(entry) ?? []
  if (entryPort !== undefined && Number(entryPort) !== port) return false
  const bare = withoutBrackets(name)
    .replace(/^\*?\./, '')
    .toLowerCase()
  return host === bare || host.endsWith(`.${bare}`) || isSameAddress(host, bare)
}

function isInNetwork(host: string, network: string): boolean {
  if (!ipaddr.isValid(host) || !ipaddr.isValidCIDR(network)) return false
  const address = ipaddr.process(host)
  const [base, bits] = ipaddr.parseCIDR(network)
  return address.kind() === base.kind() && address.match([base, bits])
}

/** Compares addresses in normal form, because an address has several spellings. */
function isSameAddress(one: string, other: string): boolean {
  return (
    ipaddr.isValid(one) && ipaddr.isValid(other) && ipaddr.process(one).toString() === ipaddr.process(other).toString()
  )
}

const withoutBrackets = (host: string) => host.replace(/^\[|\]$/g, '')
