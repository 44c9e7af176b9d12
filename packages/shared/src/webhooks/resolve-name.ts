// Resolves names chosen by tenants: the hosts file first, then DNS through c-ares, which waits on sockets. Never getaddrinfo: getaddrinfo
// blocks threads shared by the whole process, so names with silent servers would delay the names of Postgres, Redis and the provider.
// Search domains, mDNS and other sources of nsswitch.conf are not used.

import type { LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Lookup } from './guarded-connect.ts'

/** The first try of a DNS server; c-ares doubles the time for the second try. */
const TRY_MS = 1_500
const TRIES = 2
/** Limit of a look-up, however many servers resolv.conf names. */
const LOOKUP_MS_MAX = 5_000
/** How much longer the slower address family may take: some DNS servers never answer for IPv6. */
const OTHER_FAMILY_MS = 500
const HOSTS_PATH = '/etc/hosts'
/** Changes of the hosts file are noticed after at most this time. */
const HOSTS_KEPT_MS = 5_000

type Hosts = ReadonlyMap<string, readonly LookupAddress[]>

/**
 * Creates the look-up of webhooks. The look-up rejects with the error of c-ares (`ENOTFOUND`, `ETIMEOUT`, `ESERVFAIL` …) within 5 s, and
 * returns no address for a name that exists without an address.
 * @param newResolver called for each look-up: a new resolver reads the DNS servers currently used by the system
 */
export function createResolveName(
  newResolver: () => Resolver = () => new Resolver({ timeout: TRY_MS, tries: TRIES }),
): Lookup {
  let hosts: Promise<Hosts> = Promise.resolve(new Map())
  let readAt = Number.NEGATIVE_INFINITY
  return async (hostname) => {
    const now = performance.now()
    if (now - readAt > HOSTS_KEPT_MS) {
      readAt = now
      // A system without a hosts file has no names in the file.
      hosts = readFile(HOSTS_PATH, 'utf8').then(parseHosts, () => new Map())
    }
    const name = hostname.toLowerCase().replace(/\.$/, '')
    return (await hosts).get(name) ?? (isLocal(name) ? LOOPBACK : await ask(newResolver(), hostname))
  }
}

/** RFC 6761: no DNS server is asked for these names. */
const isLocal = (name: string) => name === 'localhost' || name.endsWith('.localhost')
const LOOPBACK: readonly LookupAddress[] = [
  { address: '127.0.0.1', family: 4 },
  { address: '::1', family: 6 },
]

/** The addresses of each name, in the order of the file. */
export function parseHosts(text: string): Hosts {
  const hosts = new Map<string, LookupAddress[]>()
  for (const line of text.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/)
    const family = isIP(address)
    if (family === 0) continue
    for (const name of names.map((one) => one.toLowerCase()))
      hosts.set(name, [...(hosts.get(name) ?? []), { address, family }])
  }
  return hosts
}

/** IPv4 first: a machine with no IPv6, or a broken IPv6, loses no time. */
async function ask(resolver: Resolver, hostname: string): Promise<LookupAddress[]> {
  let isLate = false
  let enough: NodeJS.Timeout | undefined
  const deadline = setTimeout(() => {
    isLate = true
    resolver.cancel()
  }, LOOKUP_MS_MAX)
  const firstFound = <Found>(found: Found) => {
    enough ??= setTimeout(() => resolver.cancel(), OTHER_FAMILY_MS)
    return found
  }
  const families = [resolver.resolve4(hostname), resolver.resolve6(hostname)]
  const answers = await Promise.allSettled(families.map((family) => family.then(firstFound)))
  clearTimeout(deadline)
  clearTimeout(enough)
  const found = answers.flatMap((answer, index) =>
    answer.status === 'fulfilled' ? answer.value.map((address) => ({ address, family: index === 0 ? 4 : 6 })) : [],
  )
  if (found.length > 0) return found
  const reasons = answers.flatMap((answer) => (answer.status === 'rejected' ? [answer.reason as unknown] : []))
  const failure = reasons.find((reason) => !(reason instanceof Error && 'code' in reason && reason.code === 'ENODATA'))
  if (failure === undefined) return []
  throw isLate ? Object.assign(new Error('no answer in time', { cause: failure }), { code: 'ETIMEOUT' }) : failure
}
