// The IP addresses that may receive webhooks: global unicast, and the networks exempted by the operator.
// Easy to get wrong: an IPv6 address can carry an IPv4 address (mapped, 6to4, NAT64 …), and the range tables of ipaddr.js call every
// unknown address "unicast"; so IPv6 is allowed only inside 2000::/3, never by default.

import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'

type Address = ipaddr.IPv4 | ipaddr.IPv6
type Network = [Address, number]

export type AddressDecision =
  /** `exempt`: the operator named the network of the address. */
  | { readonly allowed: true; readonly exempt: boolean }
  /** `range`: the name of the forbidden range, e.g. `private`, `loopback`, `6to4`. */
  | { readonly allowed: false; readonly range: string }

export type AddressGuard = (address: string) => AddressDecision

const GLOBAL_UNICAST: Network = ipaddr.parseCIDR('2000::/3')
const NAT64_WELL_KNOWN: Network = ipaddr.parseCIDR('64:ff9b::/96')

/** Ranges missing from the tables of ipaddr.js. */
const EXTRA_RANGES: Readonly<Record<string, readonly Network[]>> = {
  // Azure's host agent serves credentials at an address that looks public.
  cloudMetadata: [ipaddr.parseCIDR('168.63.129.16/32')],
  ipv4Compatible: [ipaddr.parseCIDR('::/96')],
}

/** The low 32 bits of these ranges are an IPv4 address. */
const IPV4_IN_LOW_BITS: ReadonlySet<string> = new Set(['ipv4Mapped', 'ipv4Compatible', 'rfc6145'])

/**
 * Builds the check. `allowedNetworks` are CIDR blocks exempt from refusal; a block matches the address itself or the embedded IPv4
 * address. Throws an Error naming the first entry that is not a CIDR block.
 */
export function createAddressGuard(allowedNetworks: readonly string[]): AddressGuard {
  const networks = allowedNetworks.map(parseNetwork)
  return (text) => {
    const address = parseAddress(text)
    if (address === null) return { allowed: false, range: 'unparsable' }
    const range = rangeOf(address)
    const embedded = embeddedIpv4(address, range)
    const exempt = networks.some(
      (network) => contains(network, address) || (embedded !== null && contains(network, embedded)),
    )
    return exempt || range === 'unicast' ? { allowed: true, exempt } : { allowed: false, range }
  }
}

/** Where clouds serve credentials: AWS, Google and Azure; AWS's containers; Alibaba; Azure's host agent; AWS over IPv6. */
const METADATA_ADDRESSES = [
  '169.254.169.254',
  '169.254.170.2',
  '100.100.100.200',
  '168.63.129.16',
  'fd00:ec2::254',
] as const

/** The clouds' metadata services opened to webhooks by `allowedNetworks`; without any network all of them are closed. */
export function openMetadataAddresses(allowedNetworks: readonly string[]): string[] {
  const guard = createAddressGuard(allowedNetworks)
  return METADATA_ADDRESSES.filter((address) => guard(address).allowed)
}

function parseAddress(text: string): Address | null {
  const family = isIP(text)
  if (family === 0) return null
  if (family === 4) return ipaddr.IPv4.parse(text)
  // ipaddr.js takes ::1.2.3.4 for ::ffff:1.2.3.4, a different address; the URL parser spells IPv6 without dots.
  const [withoutZone] = text.split('%')
  return ipaddr.IPv6.parse(new URL(`http://[${withoutZone}]`).hostname.slice(1, -1))
}

function parseNetwork(text: string): Network {
  // Four-part decimal only: otherwise "10/8" would silently mean 0.0.0.10/8.
  const valid = ipaddr.IPv4.isValidCIDRFourPartDecimal(text) || ipaddr.IPv6.isValidCIDR(text)
  if (!valid) throw new Error(`not a CIDR block (such as 10.0.0.0/8 or fd00::/8): ${JSON.stringify(text)}`)
  return ipaddr.parseCIDR(text)
}

function contains([network, bits]: Network, address: Address): boolean {
  return network.kind() === address.kind() && address.match(network, bits)
}

function rangeOf(address: Address): string {
  const known: string = address.range()
  if (known !== 'unicast') return known
  for (const [name, networks] of Object.entries(EXTRA_RANGES)) {
    if (networks.some((network) => contains(network, address))) return name
  }
  if (address.kind() === 'ipv6' && !contains(GLOBAL_UNICAST, address)) return 'unallocated'
  return 'unicast'
}

/**
 * Only embeddings with a single reading count. Teredo (obfuscated) and 64:ff9b:1::/48 (a prefix length known only to its network) do not
 * count: an attacker choosing the other reading would pass through an exemption meant for a different host.
 */
function embeddedIpv4(address: Address, range: string): ipaddr.IPv4 | null {
  const bytes = address.toByteArray()
  if (range === '6to4') return new ipaddr.IPv4(bytes.slice(2, 6))
  if (IPV4_IN_LOW_BITS.has(range) || contains(NAT64_WELL_KNOWN, address)) return new ipaddr.IPv4(bytes.slice(12))
  return null
}
