// Seals secrets at rest: AES-256-GCM under SECRET_KEY, as the text `v2.<name of the key>.<base64url of iv, ciphertext, tag>`. A value is
// bound to its place: after a move to another row or field the value does not open. Sealing the same text twice gives different results:
// sealed values cannot be compared or looked up.

import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const KEY_NAME_CHARS = 8
const SEALED = /^v2\.([\w-]{8})\.([\w-]+)$/
/** The format of versions that neither bound a value to its place nor named the key. Such values open until they are sealed again. */
const UNBOUND = /^v1\.([\w-]+)$/

export interface Sealer {
  /** `place`: the location of the value (domain/sealed-places.ts). */
  seal(plain: string, place: string): string
  /** @throws Error: the text is not a sealed value, or does not open here with any of the keys */
  open(sealed: string, place: string): string
  /** Whether `seal` would produce the same form: sealed with the present key, and bound to its place. */
  isPresent(sealed: string): boolean
}

/**
 * Builds a sealer that seals with `key`, and also opens values sealed with `previous`.
 * @throws Error for a key that is not 32 bytes long
 */
export function createSealer(key: Buffer, previous: Buffer | null = null): Sealer {
  const keys = new Map([key, ...(previous ? [previous] : [])].map((one) => [nameOf(one), one]))
  const present = nameOf(key)

  return {
    seal(plain, place) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
      cipher.setAAD(Buffer.from(place))
      const ciphertext = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return `v2.${present}.${Buffer.concat([iv, ciphertext, cipher.getAuthTag()]).toString('base64url')}`
    },
    open(sealed, place) {
      const [, name, bound] = SEALED.exec(sealed) ?? []
      const bytes = Buffer.from(bound ?? UNBOUND.exec(sealed)?.[1] ?? '', 'base64url')
      if (bytes.length < IV_BYTES + TAG_BYTES) throw new Error('not a sealed value: expected v2.<key>.<base64url>')
      const tried =
        name === undefined ? [...keys.values()] : [...keys].filter(([own]) => own === name).map(([, one]) => one)
      for (const one of tried) {
        const plain = openWith(one, bytes, name === undefined ? null : place)
        if (plain !== null) return plain
      }
      throw new Error('the sealed value does not open: sealed with another SECRET_KEY or for another place, or altered')
    },
    isPresent: (sealed) => SEALED.exec(sealed)?.[1] === present,
  }
}

/** Distinguishes keys without revealing anything about the keys. */
function nameOf(key: Buffer): string {
  if (key.length !== KEY_BYTES) throw new Error(`the secret key must be ${KEY_BYTES} bytes, not ${key.length}`)
  return createHash('sha256').update('reelqueue seal').update(key).digest('base64url').slice(0, KEY_NAME_CHARS)
}

function openWith(key: Buffer, bytes: Buffer, place: string | null): string | null {
  const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES })
  if (place !== null) decipher.setAAD(Buffer.from(place))
  decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
  const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES))
  try {
    return Buffer.concat([opened, decipher.final()]).toString('utf8')
  } catch {
    return null
  }
}
