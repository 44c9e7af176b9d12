// The custom headers of an endpoint as stored: sealed values by name. The origin of the URL decides where a header
// goes.

import { z } from 'zod'

const sealedHeaders = z.record(z.string(), z.string())

export function readSealedHeaders(column: unknown): Record<string, string> {
  return sealedHeaders.parse(column)
}

/** Headers belong to an origin: a person who may change the URL must not be able to send the headers elsewhere. */
export function isSameOrigin(one: string, other: string): boolean {
  return new URL(one).origin === new URL(other).origin
}
