import { createCipheriv, randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { createSealer } from './seal.ts'

const PLACE = 'prj_1 secret'

/** As versions sealed that bound no value to its place. */
function sealUnbound(key: Buffer, plain: string): string {
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key, iv)
  const ciphertext = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
  return `v1.${Buffer.concat([iv, ciphertext, cipher.getAuthTag()]).toString('base64url')}`
}

describe('sealer', () => {
  const key = randomBytes(32)
  const sealer = createSealer(key)

  it.each(['whsec_abc', '', 'ein Fuchs 🦊', 'x'.repeat(10_000)])('opens what it sealed', (plain) => {
    expect(sealer.open(sealer.seal(plain, PLACE), PLACE)).toBe(plain)
  })

  it('seals as versioned text that shows neither the secret nor whether two secrets are equal, nor the key', () => {
    const sealed = sealer.seal('whsec_abc', PLACE)
    expect(sealed).toMatch(/^v2\.[\w-]{8}\.[\w-]+$/)
    expect(sealed).not.toBe(sealer.seal('whsec_abc', PLACE))
    const [, name = '', data = ''] = sealed.split('.')
    expect(Buffer.from(data, 'base64url').includes('whsec_abc')).toBe(false)
    expect(key.includes(Buffer.from(name, 'base64url'))).toBe(false)
  })

  it('opens a value only in the place that it was sealed for', () => {
    expect(() => sealer.open(sealer.seal('whsec_abc', PLACE), 'prj_2 secret')).toThrow('another place')
  })

  it('says so when the key is another one', () => {
    const sealed = createSealer(randomBytes(32)).seal('whsec_abc', PLACE)
    expect(() => sealer.open(sealed, PLACE)).toThrow('another SECRET_KEY')
  })

  it('opens nothing of which one bit was changed', () => {
    const [version, name, data = ''] = sealer.seal('whsec_abc', PLACE).split('.')
    const bytes = Buffer.from(data, 'base64url')
    for (let index = 0; index < bytes.length; index += 1) {
      const altered = Buffer.from(bytes)
      altered.writeUInt8(altered.readUInt8(index) ^ 1, index)
      const text = `${version}.${name}.${altered.toString('base64url')}`
      expect(() => sealer.open(text, PLACE)).toThrow('altered')
    }
  })

  it.each([
    '',
    'v1.',
    'v1.AAAA',
    'v2.AAAAAAAA.AAAA',
    'v3.AAAAAAAA.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
    'whsec_abc',
    'v1.AA AA',
  ])('says that %j is no sealed value', (text) => {
    expect(() => sealer.open(text, PLACE)).toThrow('not a sealed value')
  })

  it.each([0, 16, 31, 33])('refuses a key of %i bytes', (length) => {
    expect(() => createSealer(Buffer.alloc(length))).toThrow('must be 32 bytes')
    expect(() => createSealer(key, Buffer.alloc(length))).toThrow('must be 32 bytes')
  })

  it('that changes its key opens what either has sealed, and seals with the present one', () => {
    const old = randomBytes(32)
    const [before, changing] = [createSealer(old), createSealer(key, old)]
    expect(changing.open(before.seal('whsec_abc', PLACE), PLACE)).toBe('whsec_abc')
    expect(before.isPresent(before.seal('whsec_abc', PLACE))).toBe(true)
    expect(changing.isPresent(before.seal('whsec_abc', PLACE))).toBe(false)
    expect(sealer.open(changing.seal('whsec_abc', PLACE), PLACE)).toBe('whsec_abc')
    expect(() => changing.open(before.seal('whsec_abc', PLACE), 'prj_2 secret')).toThrow('another place')
  })

  it('opens what earlier versions sealed, with either key, until it is sealed anew', () => {
    const old = randomBytes(32)
    for (const one of [key, old]) {
      const sealed = sealUnbound(one, 'whsec_abc')
      expect(createSealer(key, old).open(sealed, PLACE)).toBe('whsec_abc')
      expect(createSealer(key, old).isPresent(sealed)).toBe(false)
    }
    expect(() => sealer.open(sealUnbound(old, 'whsec_abc'), PLACE)).toThrow('another SECRET_KEY')
  })
})
