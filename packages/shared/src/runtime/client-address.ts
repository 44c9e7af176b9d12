// What counts as one client for a limit.

import ipaddr from 'ipaddr.js'

/**
 * The client that an address belongs to: itself for IPv4, its /64 for IPv6, of which one client has all addresses. `unknown` for
 * what is no address: a trusted proxy may say anything.
 */
export function clientOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown'
  const ip = ipaddr.process(address)
  if (ip instanceof ipaddr.IPv4) return ip.toString()
  return `${new ipaddr.IPv6([...ip.parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`
}
