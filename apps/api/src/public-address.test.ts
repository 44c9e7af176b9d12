import { describe, expect, it } from 'vitest'
import { publicPathOf, withoutPublicPath } from './public-address.ts'

describe('the public path', () => {
  it.each([
    [undefined, ''],
    ['https://example.com', ''],
    ['https://example.com/', ''],
    ['https://example.com/reelqueue', '/reelqueue'],
    ['http://example.com:8080/a/b', '/a/b'],
  ])('of %s is "%s"', (url, path) => {
    expect(publicPathOf(url)).toBe(path)
  })

  it.each([
    ['/reelqueue/v1/generations?limit=1', '/v1/generations?limit=1'],
    ['/v1/generations?limit=1', '/v1/generations?limit=1'],
    ['/reelqueue', '/'],
    ['/reelqueue/', '/'],
    ['/reelqueue?x=1', '/?x=1'],
    ['/reelqueues/v1', '/reelqueues/v1'],
    ['/v1/reelqueue/', '/v1/reelqueue/'],
    ['/', '/'],
  ])('is taken off %s: %s', (url, rest) => {
    expect(withoutPublicPath('/reelqueue', url)).toBe(rest)
  })
})
