// Reads bodies: JSON in UTF-8, whose numbers come back as they were and whose names stand once, of a bounded number of values. The values are counted
// before they are parsed: bytes alone bound nothing, for 40 MB of `{},` take 12 s and 1.2 GB to become objects.

import { textErrors } from '@reelqueue/shared/contract/refusal'
import { findTextFaults } from '@reelqueue/shared/domain/json-text'
import { Problem } from '@reelqueue/shared/domain/problem'
import type { FastifyInstance } from 'fastify'
import { z } from 'zod'

/** A thousand values for each of a thousand items; a million cost a second and 200 MB at worst. */
const VALUES_MAX = 1_000_000

/**
 * Replaces Fastify's own parsers, which would turn broken bytes into replacement characters in silence.
 * A body is refused as `malformed_json`, or as `body_too_large` when it has more than a million values.
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
    if (hasTooManyValues(body)) {
      done(
        new Problem(
          'body_too_large',
          `The body has more than ${VALUES_MAX.toLocaleString('en')} values; send less in one request.`,
        ),
      )
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

const [QUOTE, BACKSLASH, COMMA, LIST, OBJECT] = Buffer.from('"\\,[{')

/** Counts commas and opening brackets outside strings: no body has more values than these and one. */
function hasTooManyValues(body: Buffer): boolean {
  if (body.length <= VALUES_MAX) return false
  let count = 0
  let inString = false
  for (let at = 0; at < body.length; at++) {
    const byte = body[at]
    if (byte === QUOTE) inString = !inString
    else if (inString) at += byte === BACKSLASH ? 1 : 0
    else if ((byte === COMMA || byte === LIST || byte === OBJECT) && ++count > VALUES_MAX) return true
  }
  return false
}
