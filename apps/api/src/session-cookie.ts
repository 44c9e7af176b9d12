// The cookie of a session: a random token that no script of a page can read. Another site's page makes the browser send the
// cookie only with links (SameSite=Lax), never with a change.

import { randomBytes } from 'node:crypto'
import { SESSION_SECONDS_MAX } from '@reelqueue/shared/store/operator/sessions'
import { hashOf } from '@reelqueue/shared/store/projects'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { publicPathOf } from './public-address.ts'

export const SESSION_COOKIE = 'reelqueue_session'
const TOKEN_BYTES = 32
/** 32 bytes in base64url. */
const PATTERN = new RegExp(`(?:^|;\\s*)${SESSION_COOKIE}=([\\w-]{43})(?:;|$)`)

export interface SessionCookie {
  /** The token of the request's cookie; null without a well-formed cookie. */
  read(request: FastifyRequest): string | null
  set(reply: FastifyReply, token: string): void
  clear(reply: FastifyReply): void
}

export function createSessionCookie(publicUrl: string | undefined): SessionCookie {
  const path = publicPathOf(publicUrl) || '/'
  const secure = publicUrl?.startsWith('https://') ? '; Secure' : ''
  const send = (reply: FastifyReply, value: string, seconds: number) =>
    reply.header(
      'set-cookie',
      `${SESSION_COOKIE}=${value}; Max-Age=${seconds}; Path=${path}; HttpOnly; SameSite=Lax${secure}`,
    )
  return {
    read: ({ headers }) => PATTERN.exec(headers.cookie ?? '')?.[1] ?? null,
    set: (reply, token) => void send(reply, token, SESSION_SECONDS_MAX),
    clear: (reply) => void send(reply, '', 0),
  }
}

export function newToken(): string {
  return randomBytes(TOKEN_BYTES).toString('base64url')
}

/** The hash that is stored: a token has enough entropy for a fast hash. */
export const tokenHashOf = (token: string) => hashOf(token)
