// Resolves names that tenants choose: the hosts file first, then DNS through c-ares, which waits on sockets. Never getaddrinfo: it
// blocks threads that the whole process shares, so names whose servers are silent would hold up those of Postgres, Redis and the
// provider. Search domains, mDNS and other sources of nsswitch.conf are not used.

import type { LookupAddress } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import type { Lookup } from './guarded-connect.ts'

/** The first try of a DNS server; c-ares doubles it for the second one. */
const TRY_MS = 1_500
const TRIES = 2
/** One look-up, however many servers resolv.conf names. */
const LOOKUP_MS_MAX = 5_000
/** How much longer than the other a family may take: some DNS servers never answer for IPv6. */
const OTHER_FAMILY_MS = 500
const HOSTS_PATH = '/etc/hosts'
/** Most changes of the hosts file hold after this time. */
const HOSTS_KEPT_MS = 5_000

type Hosts = ReadonlyMap<string, readonly LookupAddress[]>

/**
 * Makes the look-up of webhooks. It rejects with the error of c-ares (`ENOTFOUND`, `ETIMEOUT`, `ESERVFAIL` …) within 5 s, and gives
 * no address for a name that exists without one.
 * @param newResolver called for each look-up: a new one reads which servers the system uses at that moment
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
      // A system without that file has no names in it.
      hosts = readFile(HOSTS_PATH, 'utf8').then(parseHosts, () => new Map())
    }
    const name = hostname.toLowerCase().replace(/\.$/, '')
    return (await hosts).get(name) ?? (isLocal(name) ? LOOPBACK : await ask(newResolver(), hostname))
  }
}

/** RFC 6761: no DNS server is asked for these. */
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

/** IPv4 first: where a machine has no IPv6, or a broken one, no time is lost. */
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
