// Seals secrets at rest: AES-256-GCM under SECRET_KEY, as the text `v1.<base64url of iv, ciphertext, tag>`.
// Sealing the same text twice gives different results: sealed values cannot be compared or looked up.

import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const IV_BYTES = 12
const TAG_BYTES = 16
const SEALED = /^v1\.([A-Za-z0-9_-]+)$/

export interface Sealer {
  seal(plain: string): string
  /** Throws an Error that says whether the text is no sealed value, or does not open with this key. */
  open(sealed: string): string
}

/** Builds a sealer from a key of exactly 32 bytes; throws for any other length. */
export function createSealer(key: Buffer): Sealer {
  if (key.length !== KEY_BYTES) throw new Error(`the secret key must be ${KEY_BYTES} bytes, not ${key.length}`)
  return {
    seal(plain) {
      const iv = randomBytes(IV_BYTES)
      const cipher = createCipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
      const ciphertext = Buffer.concat([cipher.update(plain, 'utf8'), cipher.final()])
      return `v1.${Buffer.concat([iv, ciphertext, cipher.getAuthTag()]).toString('base64url')}`
    },
    open(sealed) {
      const bytes = Buffer.from(SEALED.exec(sealed)?.[1] ?? '', 'base64url')
      if (bytes.length < IV_BYTES + TAG_BYTES) throw new Error('not a sealed value: expected v1.<base64url>')
      const iv = bytes.subarray(0, IV_BYTES)
      const decipher = createDecipheriv(CIPHER, key, iv, { authTagLength: TAG_BYTES })
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
      const opened = decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES))
      try {
        return Buffer.concat([opened, decipher.final()]).toString('utf8')
      } catch (cause) {
        throw new Error('the sealed value does not open: sealed with another SECRET_KEY, or altered', { cause })
      }
    },
  }
}
