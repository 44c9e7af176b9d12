// Bounds for bodies read into memory: bytes at the same time (total and for each project), and seconds for each body.
// Batch uploads go into files instead (intake/batch-body.ts).

import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '@reelqueue/contract/terms/problem'
import { fairTurns, type GiveBack } from '@reelqueue/shared/runtime/fair-turns'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/**
 * A parsed JSON value takes several times the bytes of the text. A body that is compressed or has no length counts as
 * the largest body.
 */
export const BODIES_BYTES = {
  max: 32 * 1024 * 1024,
  maxPerKey: 8 * 1024 * 1024,
  waitingMaxPerKey: 1_000,
  waitMaxMs: 10_000,
}
/** Limit from the permit to read until the last byte. */
export const BODY_MAX_MS = 30_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The body goes into a file, and has separate bounds. */
    isUpload?: boolean
  }
  interface FastifyRequest {
    /** Releases the bytes reserved for the body; null without a body. */
    letBodyGo: GiveBack | null
  }
}

/** Body length according to the headers: 0 without a body, null when the length is unknown. */
export function bytesAhead(headers: IncomingHttpHeaders): number | null {
  if (headers['transfer-encoding'] !== undefined) return null
  const length = Number(headers['content-length'] ?? 0)
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? ''
  return length === 0 || coding === '' || coding === 'identity' ? length : null
}

/** Key for the few requests without a project: operator requests. */
const NO_PROJECT = ''

/** Must be registered before the hook that decompresses bodies. */
export function boundBodies(fastify: FastifyInstance, bodyBytesMax: number): void {
  const turns = fairTurns(BODIES_BYTES)
  fastify.decorateRequest('letBodyGo', null)

  fastify.addHook('preParsing', (request, reply, payload, done) => {
    const bytes = bytesAhead(request.headers) ?? bodyBytesMax
    // A body with a declared length above the limit is refused before reading.
    if (bytes === 0 || bytes > bodyBytesMax || request.routeOptions.config.isUpload) return done(null, payload)
    const read = (giveBack: GiveBack) => {
      if (request.raw.destroyed) {
        // The client disconnected while waiting: no later event would release the bytes.
        giveBack()
        return done(new Problem('malformed_request'))
      }
      const tooSlow = setTimeout(() => reply.send(new Problem('request_timeout')), BODY_MAX_MS)
      request.raw.once('end', () => clearTimeout(tooSlow))
      request.letBodyGo = () => {
        clearTimeout(tooSlow)
        giveBack()
      }
      done(null, payload)
    }
    const key = projectOf(request)
    const giveBack = turns.tryTake(key, bytes)
    if (giveBack) read(giveBack)
    else turns.take(key, bytes).then(read, done)
  })
  // Every admitted request passes this hook, even after the client has disconnected.
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    request.letBodyGo?.()
    done(null, payload)
  })
}

/** The project of a request, set before the body is read; absent on routes without an API key. */
const projectOf = (request: Partial<Pick<FastifyRequest, 'project'>>) => request.project?.id ?? NO_PROJECT
