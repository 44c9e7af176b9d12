// Findings about keys and passwords. Pure.

import { type Finding, fine } from './finding.ts'

const PASSWORD_CHARS_MIN = 8

export function passwordFinding(password: string | undefined): Finding {
  const check = 'operator_password'
  if (password === undefined)
    return fine(check, 'OPERATOR_PASSWORD is not set: the password that was made at the first start holds')
  if (password.length >= PASSWORD_CHARS_MIN) return fine(check, 'long enough')
  return {
    check,
    level: 'warning',
    detail: `OPERATOR_PASSWORD has fewer than ${PASSWORD_CHARS_MIN} characters`,
    fix: 'Choose a longer password (openssl rand -base64 18).',
  }
}

/** Keys made by Reelqueue have 43 characters. Nothing slows down guessing. */
const KEY_CHARS_MIN = 24

export function bootstrapKeyFinding(key: string | undefined): Finding {
  const check = 'bootstrap_api_key'
  if (key === undefined)
    return fine(check, 'BOOTSTRAP_API_KEY is not set: the key that was made at the first start holds')
  if (key.length >= KEY_CHARS_MIN) return fine(check, 'long enough')
  return {
    check,
    level: 'warning',
    detail: `BOOTSTRAP_API_KEY has fewer than ${KEY_CHARS_MIN} characters`,
    fix: 'This key is valid since the first start: make a longer key (npm run keys -- create), and revoke this key (npm run keys -- list, revoke).',
  }
}

export interface TriedKeys {
  /** Sealed secrets that were tried. */
  readonly stored: number
  /** Tried secrets that open. */
  readonly opened: number
  /** Tried secrets that are sealed with SECRET_KEY and bound to their rows. */
  readonly present: number
}

export function secretKeyFinding(tried: TriedKeys | 'no key'): Finding {
  const check = 'secret_key'
  if (tried === 'no key') {
    return {
      check,
      level: 'wrong',
      detail: 'SECRET_KEY is not set',
      fix: 'Set SECRET_KEY to the key that encrypted the stored secrets; for a new database, to 32 random bytes (openssl rand -base64 32).',
    }
  }
  const { stored, opened, present } = tried
  if (stored === 0) return fine(check, 'no secret is stored yet')
  if (present === stored) return fine(check, 'it decrypts all stored secrets')
  if (opened === stored) {
    const detail = `all stored secrets can be decrypted; ${stored - present} of ${stored} secrets were encrypted with another key, or by an older version`
    return fine(check, `${detail}: \`npm run keys -- reseal\` encrypts these again`)
  }
  const fix = 'Set SECRET_KEY to the key that encrypted them: the key with which the project was created.'
  if (opened === 0) {
    return {
      check,
      level: 'wrong',
      detail: 'SECRET_KEY decrypts none of the stored webhook secrets: another key encrypted them',
      fix,
    }
  }
  return {
    check,
    level: 'warning',
    detail: `SECRET_KEY decrypts only ${opened} of ${stored} stored webhook secrets: webhooks of the other projects cannot be signed`,
    fix,
  }
}
