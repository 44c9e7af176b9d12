import { describe, expect, it } from 'vitest'
import { chooseProxy, proxyName } from './proxy-choice.ts'

const httpsProxy = 'http://secure.proxy:3128'
const httpProxy = 'http://plain.proxy:3128'
const choose = (url: string, noProxy?: string) => chooseProxy(url, { httpsProxy, httpProxy, noProxy })

describe('the proxy of a URL', () => {
  it('is the one for its scheme', () => {
    expect(choose('https://api.example.com/v1')).toEqual({ proxy: httpsProxy, setting: 'HTTPS_PROXY' })
    expect(choose('http://api.example.com/v1')).toEqual({ proxy: httpProxy, setting: 'HTTP_PROXY' })
  })

  it('is none where none is set for its scheme', () => {
    const none = { proxy: null, setting: null }
    expect(chooseProxy('https://a.example', { httpsProxy: undefined, httpProxy, noProxy: undefined })).toEqual(none)
    expect(chooseProxy('http://a.example', { httpsProxy, httpProxy: undefined, noProxy: '*' })).toEqual(none)
  })

  it.each([
    ['*', 'https://api.example.com'],
    ['api.example.com', 'https://api.example.com'],
    ['API.Example.com', 'https://api.example.com'],
    ['example.com', 'https://api.example.com'],
    ['.example.com', 'https://api.example.com'],
    ['*.example.com', 'https://api.example.com'],
    ['other.example, api.example.com ,', 'https://api.example.com'],
    ['other.example api.example.com', 'https://api.example.com'],
    ['api.example.com:443', 'https://api.example.com'],
    ['api.example.com:80', 'http://api.example.com'],
    ['127.0.0.1', 'http://127.0.0.1:4010'],
    ['127.0.0.1:4010', 'http://127.0.0.1:4010'],
    ['127.0.0.0/8', 'http://127.1.2.3:4010'],
    ['::1', 'http://[::1]:4010'],
    ['[::1]', 'http://[::1]:4010'],
    ['[::1]:4010', 'http://[::1]:4010'],
    ['0:0:0:0:0:0:0:1', 'http://[::1]:4010'],
    ['fd00::/8', 'https://[fd00::7]'],
  ])('is none where NO_PROXY is "%s", for %s', (noProxy, url) => {
    expect(choose(url, noProxy)).toEqual({ proxy: null, setting: 'NO_PROXY' })
  })

  it.each([
    ['', 'https://api.example.com'],
    ['ample.com', 'https://api.example.com'],
    ['api.example.com.evil', 'https://api.example.com'],
    ['api.example.com:8443', 'https://api.example.com'],
    ['127.0.0.1:80', 'http://127.0.0.1:4010'],
    ['10.0.0.0/8', 'http://127.0.0.1:4010'],
    ['10.0.0.0/8', 'https://api.example.com'],
    ['::ffff:0:0/96', 'http://127.0.0.1:4010'],
  ])('stays where NO_PROXY is "%s", for %s', (noProxy, url) => {
    expect(choose(url, noProxy).proxy).not.toBeNull()
  })
})

it('shows a proxy without its password', () => {
  expect(proxyName('http://user:secret@proxy.example:3128/')).toBe('http://proxy.example:3128')
})
