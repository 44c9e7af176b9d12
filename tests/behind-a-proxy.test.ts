// The API behind a reverse proxy, in both styles of nginx, at the root and below a path: pages work, requests from
// other sites are refused, and only a trusted proxy is believed.
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { problemOf, send } from './support/api.ts'
import { createDatabase, type TestDatabase } from './support/database.ts'
import { type ProxyStyle, startReverseProxy } from './support/reverse-proxy.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'

const PASSWORD = 'operator-password'
const login = { authorization: `Basic ${Buffer.from(`anyone:${PASSWORD}`).toString('base64')}` }
const SITE = 'https://video.example.com'

let database: TestDatabase

beforeAll(async () => {
  database = await createDatabase()
})

afterAll(async () => {
  await database?.drop()
})

/** An API with these settings behind a proxy of the given style; `base` is the prefix of the API's own paths. */
function behind(proxyStyle: ProxyStyle, env: Readonly<Record<string, string>>) {
  const running = { base: '', app: undefined as unknown as TestApp, stop: async () => undefined as unknown }
  beforeAll(async () => {
    running.app = await startTestApp({
      databaseUrl: database.url,
      api: true,
      env: { OPERATOR_PASSWORD: PASSWORD, ...env },
    })
    const proxy = await startReverseProxy(running.app.url, proxyStyle)
    running.base = proxy.origin + (proxyStyle.path ?? '')
    running.stop = () => proxy.close()
  })
  afterAll(async () => {
    await running.stop()
    await running.app?.close()
  })
  return running
}

/** The URLs of all assets of a page, resolved like a browser at `url`. */
function assetsOf(html: string, url: string): string[] {
  const [, baseHref = ''] = /<base href="([^"]*)"/.exec(html) ?? []
  const base = new URL(baseHref, url)
  return [...html.matchAll(/<(?:script|link)[^>]* (?:src|href)="([^"]+)"/g)]
    .map(([, address = '']) => new URL(address, base))
    .filter(({ origin }) => origin === base.origin)
    .map(String)
}

const STYLES: readonly ProxyStyle[] = (['plain', 'careful'] as const).flatMap((style) => [
  { style },
  { style, path: '/reelqueue', strips: true },
  { style, path: '/reelqueue', strips: false },
])

describe.each(STYLES)('behind a proxy ($style, path $path, stripped $strips), with PUBLIC_URL', (proxyStyle) => {
  const publicUrl = SITE + (proxyStyle.path ?? '')
  const running = behind(proxyStyle, { PUBLIC_URL: `${publicUrl}/` })

  it.each(['/admin/queues', '/admin/queues/', '/docs/'])('the page %s loads all its parts', async (path) => {
    const page = await send('GET', running.base + path, undefined, login)
    expect(page.status).toBe(200)
    const assets = assetsOf(page.text, running.base + path)
    expect(assets.length).toBeGreaterThan(1)
    for (const asset of assets) {
      const reply = await send('GET', asset, undefined, login)
      expect([asset, reply.status]).toEqual([asset, 200])
      expect(reply.headers['content-type']).not.toMatch(/^text\/html/)
    }
  })

  it('the operator changes something from those pages, and reads the queues', async () => {
    for (const browser of [{ origin: SITE }, { origin: SITE, 'sec-fetch-site': 'same-origin' }]) {
      for (const action of ['pause', 'resume']) {
        const url = `${running.base}/admin/submitting/${action}`
        const reply = await send('POST', url, undefined, { ...login, ...browser })
        expect([action, reply.status]).toEqual([action, 200])
      }
    }
    const queues = await send('GET', `${running.base}/admin/queues/api/queues`, undefined, login)
    expect(queues.status).toBe(200)
  })

  it('addresses that we make lead back through the proxy', async () => {
    const home = await send('GET', `${running.base}/`, undefined, login)
    expect([home.status, home.headers.location]).toEqual([302, `${proxyStyle.path ?? ''}/admin/queues`])
    const docs = await send('GET', `${running.base}/docs`)
    const { pathname } = new URL(docs.headers.location ?? '', `${running.base}/docs`)
    expect([docs.status, pathname]).toEqual([302, `${proxyStyle.path ?? ''}/docs/`])
    const { servers } = JSON.parse((await send('GET', `${running.base}/openapi.json`)).text)
    expect(servers).toEqual([{ url: publicUrl }])
  })

  it('what a page of another site sends is refused, and with another answer than a wrong password', async () => {
    const pause = `${running.base}/admin/submitting/pause`
    for (const browser of [
      { origin: 'https://evil.example' },
      { origin: 'null' },
      { origin: 'http://video.example.com' },
      { origin: SITE, 'sec-fetch-site': 'cross-site' },
      { origin: SITE, 'sec-fetch-site': 'same-site' },
      { 'sec-fetch-site': 'cross-site' },
    ]) {
      const reply = await send('POST', pause, undefined, { ...login, ...browser })
      expect([browser, reply.status, problemOf(reply).code]).toEqual([browser, 403, 'cross_site'])
    }
    const wrong = { authorization: `Basic ${Buffer.from('anyone:wrong').toString('base64')}`, origin: SITE }
    const reply = await send('POST', pause, undefined, wrong)
    expect([reply.status, problemOf(reply).code]).toEqual([401, 'operator_login_required'])
  })
})

describe('behind a proxy that strips a path, without PUBLIC_URL', () => {
  const running = behind({ style: 'plain', path: '/reel', strips: true }, {})

  it('the reference page loads all its parts', async () => {
    const moved = await send('GET', `${running.base}/docs`)
    const url = new URL(moved.headers.location ?? '', `${running.base}/docs`).href
    const page = await send('GET', url)
    expect([url, page.status]).toEqual([`${running.base}/docs/`, 200])
    const assets = assetsOf(page.text, url)
    expect(assets).toEqual([`${running.base}/docs/scalar.js`, `${running.base}/docs/start.js`])
    for (const asset of [...assets, `${running.base}/openapi.json`]) expect((await send('GET', asset)).status).toBe(200)
  })
})

describe('behind a plain proxy without PUBLIC_URL', () => {
  const running = behind({ style: 'plain' }, {})
  const resume = () => `${running.base}/admin/submitting/resume`

  it('a browser that says where the request comes from is believed', async () => {
    const browser = { ...login, origin: SITE, 'sec-fetch-site': 'same-origin' }
    expect((await send('POST', resume(), undefined, browser)).status).toBe(200)
  })

  it('a request that only names its origin is refused with the setting to change', async () => {
    const reply = await send('POST', resume(), undefined, { ...login, origin: SITE })
    expect(reply.status).toBe(403)
    expect(problemOf(reply).detail).toContain('PUBLIC_URL')
  })

  it('a program without these headers needs nothing but the password', async () => {
    expect((await send('POST', resume(), undefined, login)).status).toBe(200)
  })
})

describe('behind a plain proxy without OPERATOR_PASSWORD', () => {
  const running = behind({ style: 'plain' }, { OPERATOR_PASSWORD: '' })

  it('a request without a login may change and see nothing, although every request comes from this machine', async () => {
    for (const [method, path] of [
      ['POST', '/admin/submitting/pause'],
      ['GET', '/admin/submitting'],
      ['GET', '/admin/queues/api/queues'],
      ['PUT', '/admin/queues/api/queues/submit/pause'],
      ['GET', '/metrics'],
      ['GET', '/'],
    ] as const) {
      const reply = await send(method, running.base + path, method === 'PUT' ? {} : undefined)
      expect([path, reply.status, problemOf(reply).code]).toEqual([path, 401, 'operator_login_required'])
    }
  })
})

describe('behind a proxy that is trusted', () => {
  const running = behind({ style: 'careful' }, { TRUSTED_PROXIES: '127.0.0.1' })

  it('60 wrong passwords are not 60 guesses, and the operator comes in from elsewhere', async () => {
    const metrics = (password: string, address: string) =>
      send('GET', `${running.base}/metrics`, undefined, {
        authorization: `Basic ${btoa(`anyone:${password}`)}`,
        'x-forwarded-for': address,
      })
    const replies = await Promise.all(Array.from({ length: 60 }, (_, i) => metrics(`guess ${i}`, '203.0.113.1')))
    expect(replies.filter(({ status }) => status === 401)).toHaveLength(10)
    expect(replies.filter(({ status }) => status === 429)).toHaveLength(50)
    expect((await metrics(PASSWORD, '203.0.113.1')).status).toBe(429)
    expect((await metrics(PASSWORD, '203.0.113.2')).status).toBe(200)
  })
})

describe.each([
  ['a trusted proxy', '127.0.0.1', 200],
  ['a proxy that is not trusted', '10.0.0.0/8', 403],
])('%s', (_title, networks, status) => {
  const running = behind({ style: 'plain' }, { TRUSTED_PROXIES: networks })

  it(`is${status === 200 ? '' : ' not'} believed about the host that people see`, async () => {
    const headers = { ...login, origin: SITE, 'x-forwarded-host': 'video.example.com' }
    const reply = await send('POST', `${running.base}/admin/submitting/resume`, undefined, headers)
    expect(reply.status).toBe(status)
  })
})
