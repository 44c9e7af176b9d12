// The custom headers of an endpoint as its row keeps them: sealed values by name. Where one goes is decided by its origin.

import { z } from 'zod'

const sealedHeaders = z.record(z.string(), z.string())

export function readSealedHeaders(column: unknown): Record<string, string> {
  return sealedHeaders.parse(column)
}

/** Headers belong to an origin: whoever may change the URL must not be able to send them elsewhere. */
export function isSameOrigin(one: string, other: string): boolean {
  return new URL(one).origin === new URL(other).origin
}
