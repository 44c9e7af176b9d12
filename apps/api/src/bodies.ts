// Bodies that are read into memory: so many bytes at a time, in all and of one project, and each within a bounded time. Uploads of
// batches go into files instead (intake/batch-body.ts).

import type { IncomingHttpHeaders } from 'node:http'
import { Problem } from '@reelqueue/shared/domain/problem'
import { fairTurns, type GiveBack } from '@reelqueue/shared/runtime/fair-turns'
import type { FastifyInstance, FastifyRequest } from 'fastify'

/** A value of JSON takes several times its bytes. What comes compressed, or without a length, counts as the largest body. */
export const BODIES_BYTES = {
  max: 32 * 1024 * 1024,
  maxPerKey: 8 * 1024 * 1024,
  waitingMaxPerKey: 1_000,
  waitMaxMs: 10_000,
}
/** From when a body may be sent to its last byte. */
export const BODY_MAX_MS = 30_000

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Its body goes into a file, and has bounds of its own. */
    isUpload?: boolean
  }
  interface FastifyRequest {
    /** Ends what its body holds; null: it has none. */
    letBodyGo: GiveBack | null
  }
}

/** What the headers say of the length of the body: 0 without one, null when they do not say it. */
export function bytesAhead(headers: IncomingHttpHeaders): number | null {
  if (headers['transfer-encoding'] !== undefined) return null
  const length = Number(headers['content-length'] ?? 0)
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? ''
  return length === 0 || coding === '' || coding === 'identity' ? length : null
}

/** Of requests without a project, which are few: those of operators. */
const NO_PROJECT = ''

/** Must be registered before bodies are unpacked. */
export function boundBodies(fastify: FastifyInstance, bodyBytesMax: number): void {
  const turns = fairTurns(BODIES_BYTES)
  fastify.decorateRequest('letBodyGo', null)

  fastify.addHook('preParsing', (request, reply, payload, done) => {
    const bytes = bytesAhead(request.headers) ?? bodyBytesMax
    // What is too large by its own words is refused before it is read.
    if (bytes === 0 || bytes > bodyBytesMax || request.routeOptions.config.isUpload) return done(null, payload)
    const read = (giveBack: GiveBack) => {
      if (request.raw.destroyed) {
        // The client has gone while it waited: nothing will be read, and no event will end it.
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
  // Every request that was let in comes by here, also one whose client has gone.
  fastify.addHook('onSend', (request, _reply, payload, done) => {
    request.letBodyGo?.()
    done(null, payload)
  })
}

/** The project of a request; set before its body is read, unless the route asks for no key. */
const projectOf = (request: Partial<Pick<FastifyRequest, 'project'>>) => request.project?.id ?? NO_PROJECT
