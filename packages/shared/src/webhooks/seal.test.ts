import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createSealer } from './seal.ts'

describe('sealer', () => {
  const sealer = createSealer(randomBytes(32))

  it.each(['whsec_abc', '', 'ein Fuchs 🦊', 'x'.repeat(10_000)])('opens what it sealed', (plain) => {
    expect(sealer.open(sealer.seal(plain))).toBe(plain)
  })

  it('seals as versioned text that shows neither the secret nor whether two secrets are equal', () => {
    const sealed = sealer.seal('whsec_abc')
    expect(sealed).toMatch(/^v1\.[A-Za-z0-9_-]+$/)
    expect(sealed).not.toBe(sealer.seal('whsec_abc'))
    expect(Buffer.from(sealed.slice(3), 'base64url').includes('whsec_abc')).toBe(false)
  })

  it('says so when the key is another one', () => {
    const sealed = createSealer(randomBytes(32)).seal('whsec_abc')
    expect(() => sealer.open(sealed)).toThrow('another SECRET_KEY')
  })

  it('opens nothing of which one bit was changed', () => {
    const bytes = Buffer.from(sealer.seal('whsec_abc').slice(3), 'base64url')
    for (let index = 0; index < bytes.length; index += 1) {
      const altered = Buffer.from(bytes)
      altered.writeUInt8(altered.readUInt8(index) ^ 1, index)
      expect(() => sealer.open(`v1.${altered.toString('base64url')}`)).toThrow('altered')
    }
  })

  it.each(['', 'v1.', 'v1.AAAA', 'v2.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA', 'whsec_abc', 'v1.AA AA'])(
    'says that %j is no sealed value',
    (text) => {
      expect(() => sealer.open(text)).toThrow('not a sealed value')
    },
  )

  it.each([0, 16, 31, 33])('refuses a key of %i bytes', (length) => {
    expect(() => createSealer(Buffer.alloc(length))).toThrow('must be 32 bytes')
  })
})
