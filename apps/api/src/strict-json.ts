// Reads bodies: JSON in UTF-8, whose numbers come back as they were and whose names stand once and
// whose bytes are few. Batches are read as a stream (intake/json-document.ts).

import { textErrors } from '@reelqueue/shared/contract/refusal'
import { findTextFaults } from '@reelqueue/shared/domain/json-text'
import { Problem } from '@reelqueue/shared/domain/problem'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'

/**
 * Replaces Fastify's own parsers, which would turn broken bytes into replacement characters in silence.
 * A body is refused as `malformed_json`.
 */
export function parseStrictJson(fastify: FastifyInstance): void {
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  fastify.removeContentTypeParser(['application/json', 'text/plain'])
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    // Many clients send the type without a body: no harm where none is asked for.
    if (body.length === 0 && mayBeAbsent(request.routeOptions.schema?.body)) {
      done(null, undefined)
      return
    }
    let text: string
    try {
      text = utf8.decode(body)
    } catch {
      done(new Problem('malformed_json', 'The body is not valid UTF-8.'))
      return
    }
    let value: unknown
    try {
      // A key `__proto__` becomes a field like any other here, and is refused by name later (contract/refusal.ts).
      value = JSON.parse(text)
    } catch {
      done(new Problem('malformed_json'))
      return
    }
    const faults = findTextFaults(text, value)
    if (faults.length > 0) request.textErrors = textErrors(faults)
    done(null, value)
  })
}

function mayBeAbsent(schema: unknown): boolean {
  return schema === undefined || (schema instanceof z.ZodType && schema.safeParse(undefined).success)
}
