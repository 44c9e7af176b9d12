// Parses JSON bodies in strict UTF-8. Numbers that would change and duplicate names are refused. Batches are read as a
// stream (intake/json-document.ts).

import { Problem } from '@reelqueue/contract/terms/problem'
import { findTextFaults } from '@reelqueue/contract/text/json-text'
import { textErrors } from '@reelqueue/contract/wire/refusal'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'

/**
 * Replaces Fastify's parsers, which silently turn invalid bytes into replacement characters. An invalid body is refused
 * as `malformed_json`.
 */
export function parseStrictJson(fastify: FastifyInstance): void {
  const utf8 = new TextDecoder('utf-8', { fatal: true })
  fastify.removeContentTypeParser(['application/json', 'text/plain'])
  fastify.addContentTypeParser('application/json', { parseAs: 'buffer' }, (request, body: Buffer, done) => {
    // Many clients send the content type without a body: accepted where no body is required.
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
      // `JSON.parse` makes a key `__proto__` an ordinary field, refused later by name (wire/refusal.ts).
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
