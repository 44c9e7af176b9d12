// The table of addresses is the specification of the guard: one line per form that an attacker or a network can produce.

import { describe, expect, it } from 'vitest'
import { createAddressGuard, openMetadataAddresses } from './address-guard.ts'

const REFUSED: readonly (readonly [address: string, range: string])[] = [
  // IPv4
  ['0.0.0.0', 'unspecified'],
  ['0.1.2.3', 'unspecified'],
  ['10.0.0.0', 'private'],
  ['10.255.255.255', 'private'],
  ['100.64.0.1', 'carrierGradeNat'],
  ['100.100.100.200', 'carrierGradeNat'],
  ['100.127.255.255', 'carrierGradeNat'],
  ['127.0.0.1', 'loopback'],
  ['127.255.255.254', 'loopback'],
  ['168.63.129.16', 'cloudMetadata'],
  ['169.254.0.1', 'linkLocal'],
  ['169.254.169.254', 'linkLocal'],
  ['172.16.0.1', 'private'],
  ['172.31.255.255', 'private'],
  ['192.0.0.1', 'reserved'],
  ['192.0.0.192', 'reserved'],
  ['192.0.2.1', 'reserved'],
  ['192.31.196.1', 'as112'],
  ['192.52.193.1', 'amt'],
  ['192.88.99.1', 'reserved'],
  ['192.168.0.1', 'private'],
  ['192.168.255.255', 'private'],
  ['192.175.48.1', 'as112'],
  ['198.18.0.1', 'reserved'],
  ['198.19.255.255', 'reserved'],
  ['198.51.100.7', 'reserved'],
  ['203.0.113.9', 'reserved'],
  ['224.0.0.1', 'multicast'],
  ['239.255.255.255', 'multicast'],
  ['240.0.0.1', 'reserved'],
  ['255.255.255.254', 'reserved'],
  ['255.255.255.255', 'broadcast'],
  // IPv6
  ['::', 'unspecified'],
  ['::1', 'loopback'],
  ['0:0:0:0:0:0:0:1', 'loopback'],
  ['::2', 'ipv4Compatible'],
  ['::127.0.0.1', 'ipv4Compatible'],
  ['::8.8.8.8', 'ipv4Compatible'],
  ['::ffff:127.0.0.1', 'ipv4Mapped'],
  ['::ffff:7f00:1', 'ipv4Mapped'],
  ['::FFFF:10.0.0.1', 'ipv4Mapped'],
  ['::ffff:8.8.8.8', 'ipv4Mapped'],
  ['::ffff:0:127.0.0.1', 'rfc6145'],
  ['64:ff9b::127.0.0.1', 'rfc6052'],
  ['64:ff9b::8.8.8.8', 'rfc6052'],
  ['64:ff9b:1::a00:1', 'rfc6052'],
  ['64:ff9b:1:ffff:ffff:ffff:ffff:ffff', 'rfc6052'],
  ['64:ff9b:2::1', 'unallocated'],
  ['100::1', 'discard'],
  ['100:0:0:1::1', 'unallocated'],
  ['1fff:ffff::1', 'unallocated'],
  ['2001::1', 'teredo'],
  ['2001:0:4136:e378:8000:63bf:3fff:fdd2', 'teredo'],
  ['2001:1::1', 'reserved'],
  ['2001:2::1', 'benchmarking'],
  ['2001:3::1', 'amt'],
  ['2001:4:112::1', 'as112v6'],
  ['2001:10::1', 'deprecatedOrchid'],
  ['2001:20::1', 'orchid2'],
  ['2001:30::1', 'droneRemoteIdProtocolEntityTags'],
  ['2001:1ff::1', 'reserved'],
  ['2001:db8::1', 'reserved'],
  ['2002:7f00:1::', '6to4'],
  ['2002:808:808::1', '6to4'],
  ['2620:4f:8000::1', 'as112v6'],
  ['3fff::1', 'reserved'],
  ['4000::1', 'unallocated'],
  ['5f00::1', 'segmentRouting'],
  ['8000::1', 'unallocated'],
  ['fc00::1', 'uniqueLocal'],
  ['fd00:ec2::254', 'uniqueLocal'],
  ['fe00::1', 'unallocated'],
  ['fe80::1', 'linkLocal'],
  ['fe80::1%eth0', 'linkLocal'],
  ['febf::1', 'linkLocal'],
  ['fec0::1', 'deprecatedSiteLocal'],
  ['feff::1', 'deprecatedSiteLocal'],
  ['ff02::1', 'multicast'],
  ['ff0e::1', 'multicast'],
  // Texts that are not addresses, or spellings produced by no resolver and no parsed URL
  ['', 'unparsable'],
  ['localhost', 'unparsable'],
  ['127.1', 'unparsable'],
  ['2130706433', 'unparsable'],
  ['0x7f000001', 'unparsable'],
  ['0177.0.0.1', 'unparsable'],
  ['8.8.8.8.8', 'unparsable'],
  ['[::1]', 'unparsable'],
  ['8.8.8.8 ', 'unparsable'],
]

const ALLOWED: readonly string[] = [
  '1.1.1.1',
  '8.8.8.8',
  '9.255.255.255',
  '11.0.0.0',
  '100.63.255.255',
  '100.128.0.0',
  '126.255.255.255',
  '128.0.0.1',
  '168.63.129.17',
  '169.253.255.255',
  '172.15.255.255',
  '172.32.0.0',
  '192.0.1.1',
  '192.167.255.255',
  '192.169.0.0',
  '198.17.255.255',
  '198.20.0.0',
  '223.255.255.255',
  '2001:200::1',
  '2001:4860:4860::8888',
  '2003::1',
  '2606:4700:4700::1111',
  '2a00:1450:4001::1',
  '3ffe:ffff::1',
]

describe('address guard', () => {
  const guard = createAddressGuard([])

  it.each(REFUSED)('refuses %j as %s', (address, range) => {
    expect(guard(address)).toEqual({ allowed: false, range })
  })

  it.each(ALLOWED)('allows %s', (address) => {
    expect(guard(address)).toEqual({ allowed: true, exempt: false })
  })
})

describe('allowed networks', () => {
  const guard = createAddressGuard(['10.1.0.0/16', 'fd00:1::/32', '127.0.0.1/32'])

  it.each([
    ['10.1.2.3', true],
    ['10.2.0.0', false],
    ['127.0.0.1', true],
    ['127.0.0.2', false],
    ['fd00:1::7', true],
    ['fd00:2::7', false],
    ['::1', false],
    ['8.8.8.8', true],
  ])('%s is judged by the exempted blocks: %s', (address, allowed) => {
    expect(guard(address).allowed).toBe(allowed)
  })

  it.each([
    ['::ffff:10.1.2.3', true],
    ['::ffff:10.2.0.0', false],
    ['::10.1.2.3', true],
    ['::ffff:0:10.1.2.3', true],
    ['64:ff9b::10.1.2.3', true],
    ['64:ff9b::10.2.0.0', false],
    ['2002:a01:203::1', true],
    ['2002:a02:1::1', false],
  ])('the IPv4 address embedded in %s decides: %s', (address, allowed) => {
    expect(guard(address).allowed).toBe(allowed)
  })

  it.each([
    '64:ff9b:1:a01:2:300::', // RFC 6052 with a /48 prefix
    '64:ff9b:1::a01:203',
    '2001:0:a01:203:8000:63bf:f5fe:fdfc', // Teredo: server and obscured client are both 10.1.2.3
  ])('an embedding with more than one reading gains nothing from an IPv4 block: %s', (address) => {
    expect(guard(address).allowed).toBe(false)
  })

  it('a block exempts the whole range when it names the IPv6 form itself', () => {
    expect(createAddressGuard(['64:ff9b:1::/48'])('64:ff9b:1::a01:203').allowed).toBe(true)
  })

  it.each(['10/8', '10.0.0.0', '10.0.0.0/33', '0x0a.0.0.0/8', 'fd00::/129', 'fd00::', 'example.com/8', ''])(
    'refuses %j, which is not a CIDR block',
    (text) => {
      expect(() => createAddressGuard(['127.0.0.0/8', text])).toThrow(`not a CIDR block`)
    },
  )
})

describe('metadata services of clouds', () => {
  it.each([
    { networks: [], open: [] },
    { networks: ['10.0.0.0/8', '127.0.0.0/8', '192.168.0.0/16', '::1/128', 'fd00:1::/32'], open: [] },
    { networks: ['169.254.0.0/16'], open: ['169.254.169.254', '169.254.170.2'] },
    { networks: ['100.64.0.0/10', '168.63.129.16/32'], open: ['100.100.100.200', '168.63.129.16'] },
    { networks: ['fd00::/8'], open: ['fd00:ec2::254'] },
  ])('$networks opens $open to webhooks', ({ networks, open }) => {
    expect(openMetadataAddresses(networks)).toEqual(open)
  })
})
