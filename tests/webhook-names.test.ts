// Host names of webhook servers, looked up by a real DNS server that leaves most names without an answer.

import { lookup } from 'node:dns/promises'
import { createGuardedClient, type GuardedClient } from '@reelqueue/shared/webhooks/guarded-client'
import { createResolveName } from '@reelqueue/shared/webhooks/resolve-name'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type DnsServer, startDnsServer } from './support/dns-server.ts'
import { until } from './support/wait.ts'
import { closeEndpoints, endpoint } from './support/webhook-endpoint.ts'

let dns: DnsServer
let client: GuardedClient

beforeEach(async () => {
  dns = await startDnsServer()
  const resolveName = createResolveName(dns.newResolver)
  client = createGuardedClient({ allowedNetworks: ['127.0.0.0/8', '::1/128'], lookup: resolveName })
})
afterEach(async () => {
  await client.close()
  await closeEndpoints()
  await dns.close()
})

describe('300 names of one project whose DNS server is silent', () => {
  it('delay neither the webhook of another project nor other names', async () => {
    const { port, seen } = await endpoint()
    dns.zone.set('quiet.test', ['127.0.0.1'])
    let ended = 0
    const silent = Array.from({ length: 300 }, async (_, n) => {
      const outcome = await client.post('prj_loud', `http://n${n}.test:${port}/`, {}, '{}')
      ended++
      return outcome
    })
    await until('they are asked for', () => dns.asked.size >= 10)
    const [outcome] = await Promise.all([
      client.post('prj_quiet', `http://quiet.test:${port}/`, {}, '{}'),
      lookup('localhost'),
    ])
    expect(outcome).toMatchObject({ kind: 'delivered' })
    expect(ended).toBe(0)
    dns.asked.delete('quiet.test')
    expect(dns.asked.size).toBe(10)
    // Each look-up ends by itself, within the time limit of a post.
    const classes = new Set((await Promise.all(silent)).map(({ errorClass }) => errorClass))
    expect([...classes].toSorted()).toEqual(['dns', 'timeout'])
    expect(seen.requests).toHaveLength(1)
  }, 60_000)

  it('delay the same name asked for by another project as little', async () => {
    const { port } = await endpoint()
    for (let n = 0; n < 20; n++) client.post('prj_loud', `http://n${n}.test:${port}/`, {}, '{}').catch(() => undefined)
    const behind = client.post('prj_loud', `http://shared.test:${port}/`, {}, '{}')
    await until('they are asked for', () => dns.asked.size >= 10)
    dns.zone.set('shared.test', ['127.0.0.1'])
    let isBehindDone = false
    const done = behind.then(() => {
      isBehindDone = true
    })
    expect(await client.post('prj_quiet', `http://shared.test:${port}/`, {}, '{}')).toMatchObject({ kind: 'delivered' })
    expect(isBehindDone).toBe(false)
    await done
  }, 60_000)
})

describe('a name', () => {
  it('without an answer fails within some seconds, and is tried again later', async () => {
    const outcome = await client.post('prj_1', 'http://silent.test/', {}, '{}')
    expect(outcome).toMatchObject({
      errorClass: 'dns',
      message: 'silent.test does not resolve: ETIMEOUT',
      final: false,
    })
  }, 30_000)

  it('of which one family is never answered has the addresses of the other long before a silent one fails', async () => {
    const { port } = await endpoint()
    dns.zone.set('half.test', ['127.0.0.1'])
    dns.onlyIpv4.add('half.test')
    const silent = client.post('prj_1', 'http://silent.test/', {}, '{}')
    const half = client.post('prj_1', `http://half.test:${port}/`, {}, '{}')
    expect(await Promise.race([silent, half])).toMatchObject({ kind: 'delivered' })
    await silent
  }, 30_000)

  it('that does not exist, or has no address, says so', async () => {
    dns.zone.set('none.test', 'NXDOMAIN').set('empty.test', [])
    const messageOf = async (url: string) => (await client.post('prj_1', url, {}, '{}')).message
    expect(await messageOf('http://none.test/')).toBe('none.test does not resolve: ENOTFOUND')
    expect(await messageOf('http://empty.test/')).toBe('empty.test has no address')
  })

  it('of the hosts file, and localhost, is asked of no DNS server', async () => {
    const { port } = await endpoint()
    for (const name of ['localhost', 'LOCALHOST.', 'app.localhost'])
      expect(await client.post('prj_1', `http://${name}:${port}/`, {}, '{}')).toMatchObject({ kind: 'delivered' })
    expect(dns.asked.size).toBe(0)
  })

  it('with an address that is refused gets no connection', async () => {
    dns.zone.set('inside.test', ['127.0.0.1', '10.0.0.1'])
    const { port, seen } = await endpoint()
    const outcome = await client.post('prj_1', `http://inside.test:${port}/`, {}, '{}')
    expect(outcome).toMatchObject({ errorClass: 'refused_address', final: true })
    expect(seen.connections).toBe(0)
  })
})
