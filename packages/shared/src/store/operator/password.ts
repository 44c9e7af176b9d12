// Passwords of operators: people choose them, so a slow hash with a salt is stored. Each hash takes about a quarter of a
// second and 32 MiB: callers bound how many are computed at the same time.

import { randomBytes, type ScryptOptions, scrypt, timingSafeEqual } from 'node:crypto'

/** As OWASP advises. A stored hash names its own parameters, so that they may change. */
const COST = { N: 2 ** 15, r: 8, p: 3 } as const
const HASH_BYTES = 32
const SALT_BYTES = 16

/** A password that no person has chosen. */
export function newPassword(): string {
  return randomBytes(18).toString('base64url')
}

/** `scrypt$N$r$p$salt$hash`. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES)
  const hash = await derive(password, salt, COST)
  return ['scrypt', COST.N, COST.r, COST.p, salt.toString('base64url'), hash.toString('base64url')].join('$')
}

/** A hash that no password has: comparing with this hash takes as long as with any other. */
export const NO_PASSWORD = [
  'scrypt',
  COST.N,
  COST.r,
  COST.p,
  randomBytes(SALT_BYTES).toString('base64url'),
  randomBytes(HASH_BYTES).toString('base64url'),
].join('$')

/** Whether the password has the stored hash. */
export async function isPassword(password: string, stored: string): Promise<boolean> {
  const [, N, r, p, salt = '', hash = ''] = stored.split('$')
  const expected = Buffer.from(hash, 'base64url')
  const cost = { N: Number(N), r: Number(r), p: Number(p) }
  const given = await derive(password, Buffer.from(salt, 'base64url'), cost, expected.length)
  // An empty hash would be equal to that of every password.
  return expected.length === HASH_BYTES && timingSafeEqual(given, expected)
}

/** Two ways to type the same letter give the same bytes. */
function derive(password: string, salt: Buffer, cost: ScryptOptions, bytes = HASH_BYTES): Promise<Buffer> {
  const { N = COST.N, r = COST.r, p = COST.p } = cost
  const maxmem = 128 * r * (N + p + 2) * 2
  return new Promise((resolve, reject) => {
    scrypt(password.normalize('NFKC'), salt, bytes, { N, r, p, maxmem }, (error, hash) =>
      error ? reject(error) : resolve(hash),
    )
  })
}
