// Reads the provider's JSON without trusting any field: a field may be missing, have another type, or be one level down
// in `data`. The text goes to Postgres, which refuses U+0000 and lone surrogates.

import { findJson } from '../http/find-json.ts'
import { storableText } from '../http/storable-text.ts'
import { at, ENVELOPE_CODE_PATHS, type Fields, firstAt, REASON_PATHS } from './shapes.ts'

export interface Body {
  readonly top: Fields
  readonly data: Fields | null
}

/** The only JSON object of a reply, or null. A truncated object never parses, so a parsed object is complete. */
export function parseBody(text: string): Body | null {
  return bodyOf(findJson(text))
}

/** A JSON value as a body. A `data` list with a single object counts as the object; a longer list is ignored. */
export function bodyOf(value: unknown): Body | null {
  if (!isFields(value)) return null
  const data = Array.isArray(value.data) && value.data.length === 1 ? value.data[0] : value.data
  const top = data === value.data ? value : { ...value, data }
  return { top, data: isFields(data) ? data : null }
}

export function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The first value under any of `keys` accepted by `read`; keys in order, the top level before `data`. */
export function findField<T>(body: Body, keys: readonly string[], read: (value: unknown) => T | null): T | null {
  for (const key of keys) {
    for (const level of body.data === null ? [body.top] : [body.top, body.data]) {
      const value = read(level[key])
      if (value !== null) return value
    }
  }
  return null
}

const successCodes: ReadonlySet<string> = new Set(
  '0 00000 200 201 202 success succeed succeeded successful ok'.split(' '),
)

/** The envelope's error code; null without an envelope, or when the envelope reports success. */
export function envelopeError(body: Body): string | null {
  return firstAt(body.top, ENVELOPE_CODE_PATHS, (code) => {
    if (typeof code !== 'number' && typeof code !== 'string') return null
    const text = String(code).trim()
    return text === '' || successCodes.has(text.toLowerCase()) ? null : text
  })
}

/** Our error code from the provider's code: `upstream_` and at most 64 plain characters. */
export function upstreamCode(code: string, secrets: readonly string[]): string {
  return `upstream_${storableText(code, 64, secrets).replace(/[^\w.-]+/g, '_')}`
}

/**
 * The provider's error message, at most `charsMax` characters, or null. A body that is not JSON is quoted, except HTML
 * and fragments of JSON.
 */
export function providerMessage(text: string, charsMax: number, secrets: readonly string[]): string | null {
  const read = (value: unknown): string | null => {
    if (typeof value !== 'string') return null
    const message = storableText(value, charsMax, secrets)
    // An envelope's "success" around a failed task is not a reason.
    return message === '' || successCodes.has(message.toLowerCase()) ? null : message
  }
  const body = parseBody(text)
  if (body === null) return /^\s*[<{["]/.test(text) ? null : read(text)
  return firstAt(body.top, REASON_PATHS, (value) => {
    const [first] = Array.isArray(value) ? value : [value]
    return read(isFields(first) ? (at(first, ['message']) ?? first.msg) : first)
  })
}

/** A finite number from 0 to `max`, also from a decimal string; otherwise null. */
export function readNumber(value: unknown, max: number): number | null {
  const decimal = typeof value === 'string' && /^\s*\d{1,20}(\.\d{1,20})?\s*$/.test(value) ? Number(value) : value
  return typeof decimal === 'number' && decimal >= 0 && decimal <= max ? decimal : null
}
