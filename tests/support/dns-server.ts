// A DNS server on loopback that answers for some names, and never answers for other names.

import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'

export interface DnsServer {
  /** A name's IPv4 addresses; an empty list: the name exists without an address. Absent names get no answer at all. */
  readonly zone: Map<string, readonly string[] | 'NXDOMAIN'>
  /** Names whose queries for other types than IPv4 get no answer. */
  readonly onlyIpv4: Set<string>
  /** Names that were queried, each once. */
  readonly asked: Set<string>
  /** A resolver that queries only this server. */
  readonly newResolver: () => Resolver
  close(): Promise<void>
}

const TYPE_A = 1

export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  const zone: DnsServer['zone'] = new Map()
  const onlyIpv4 = new Set<string>()
  const asked = new Set<string>()
  socket.on('message', (query, peer) => {
    const { name, type, end } = questionOf(query)
    asked.add(name)
    const known = zone.get(name)
    if (known === undefined || (type !== TYPE_A && onlyIpv4.has(name))) return
    const addresses = known !== 'NXDOMAIN' && type === TYPE_A ? known : []
    const header = Buffer.from(query.subarray(0, 12))
    // A response, recursion available; with the code of NXDOMAIN where needed.
    header.writeUInt16BE(known === 'NXDOMAIN' ? 0x8183 : 0x8180, 2)
    header.writeUInt16BE(addresses.length, 6)
    header.writeUInt32BE(0, 8)
    // The name as a pointer to the question, type A, class IN, no time to live, four bytes.
    const answers = addresses.map((address) =>
      Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split('.').map(Number)]),
    )
    socket.send(Buffer.concat([header, query.subarray(12, end), ...answers]), peer.port, peer.address)
  })
  const { port } = socket.address()
  return {
    zone,
    onlyIpv4,
    asked,
    newResolver: () => {
      const resolver = new Resolver({ timeout: 1_500, tries: 2 })
      resolver.setServers([`127.0.0.1:${port}`])
      return resolver
    },
    async close() {
      socket.close()
      await once(socket, 'close')
    },
  }
}

function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = []
  let at = 12
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length))
    at += 1 + length
  }
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end: at + 5 }
}
