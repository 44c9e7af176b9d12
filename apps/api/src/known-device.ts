// A cookie marks a browser in which the operator has logged in before. The cookie grants no access: an operator with
// the cookie does not wait because a stranger guesses passwords from the same address (for example an untrusted proxy).

import { createHash } from 'node:crypto'
import type { Sealer } from '@reelqueue/shared/webhooks/seal'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { publicPathOf } from './public-address.ts'

const COOKIE = 'reelqueue_device'
const PURPOSE = 'operator-device'
const KNOWN_SECONDS = 30 * 24 * 3_600

export interface KnownDevices {
  /** An identifier of the browser that sent the request; null without a valid cookie. */
  recognise(request: FastifyRequest): string | null
  /**
   * Sets the cookie. Operators only: each new device has a separate number of guesses at the operator's password.
   */
  remember(reply: FastifyReply): void
}

export function createKnownDevices(sealer: Sealer, publicUrl: string | undefined): KnownDevices {
  const path = publicPathOf(publicUrl) || '/'
  const secure = publicUrl?.startsWith('https://') ? '; Secure' : ''

  function isOurs(cookie: string): boolean {
    try {
      return Number(sealer.open(cookie, PURPOSE)) > Date.now()
    } catch {
      return false
    }
  }

  return {
    recognise({ headers }) {
      const [, cookie] = new RegExp(`(?:^|; )${COOKIE}=([\\w.-]{1,200})`).exec(headers.cookie ?? '') ?? []
      if (cookie === undefined || !isOurs(cookie)) return null
      return createHash('sha256').update(cookie).digest('hex').slice(0, 32)
    },
    remember(reply) {
      const value = sealer.seal(String(Date.now() + KNOWN_SECONDS * 1_000), PURPOSE)
      reply.header(
        'set-cookie',
        `${COOKIE}=${value}; Max-Age=${KNOWN_SECONDS}; Path=${path}; HttpOnly; SameSite=Strict${secure}`,
      )
    },
  }
}
