// Maps an address to the client that a limit counts.

import ipaddr from 'ipaddr.js'

/**
 * The client of an address: the address itself for IPv4, the /64 network for IPv6, because a client owns a whole /64. Returns
 * `unknown` for invalid text: a trusted proxy may pass on anything.
 */
export function clientOf(address: string): string {
  if (!ipaddr.isValid(address)) return 'unknown'
  const ip = ipaddr.process(address)
  if (ip instanceof ipaddr.IPv4) return ip.toString()
  return `${new ipaddr.IPv6([...ip.parts.slice(0, 4), 0, 0, 0, 0]).toString()}/64`
}
