// The passwords that need no operator in the table: OPERATOR_PASSWORD, or else the password that was made at the first
// start, and VIEWER_PASSWORD.

import { createHash, timingSafeEqual } from 'node:crypto'
import type { Role } from '@reelqueue/contract/terms/roles'

export type BuiltInRole = Exclude<Role, 'member'>

export interface BuiltInPasswords {
  /** Whose password it is. @param madeHash SHA-256 of the password made at the first start, hex; null without one */
  roleOf(password: string, madeHash: string | null): BuiltInRole | null
  /** Binds a session to the password of its role: another password has another proof. */
  proofOf(token: string, role: BuiltInRole, madeHash: string | null): string | null
  /** Whether the session's password is still the password of its role. */
  isProof(proof: string, token: string, role: Role, madeHash: string | null): boolean
}

export interface PasswordSettings {
  /** Undefined: the password generated at the first start is valid. */
  readonly operatorPassword: string | undefined
  /** Password of viewers: read-only access. */
  readonly viewerPassword: string | undefined
}

export function createBuiltInPasswords({ operatorPassword, viewerPassword }: PasswordSettings): BuiltInPasswords {
  function hashFor(role: Role, madeHash: string | null): string | null {
    if (role === 'viewer') return viewerPassword === undefined ? null : hashOf(viewerPassword)
    return operatorPassword === undefined ? madeHash : hashOf(operatorPassword)
  }

  function proofOf(token: string, role: BuiltInRole, madeHash: string | null): string | null {
    const hash = hashFor(role, madeHash)
    // The token is a key of 256 random bits, so the stored proof does not help to guess the password.
    return hash === null ? null : hashOf(`${token} ${hash}`)
  }

  return {
    roleOf(password, madeHash) {
      const given = hashOf(password)
      const isFor = (role: BuiltInRole) => {
        const expected = hashFor(role, madeHash)
        return expected !== null && sameHash(given, expected)
      }
      if (isFor('operator')) return 'operator'
      return isFor('viewer') ? 'viewer' : null
    },
    proofOf,
    isProof(proof, token, role, madeHash) {
      const expected = role === 'member' ? null : proofOf(token, role, madeHash)
      return expected !== null && sameHash(proof, expected)
    },
  }
}

/** Comparing hashes keeps content and length out of the time taken. */
const hashOf = (text: string) => createHash('sha256').update(text).digest('hex')
const sameHash = (one: string, other: string) => timingSafeEqual(Buffer.from(one), Buffer.from(other))
