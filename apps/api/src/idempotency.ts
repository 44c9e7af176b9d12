// Idempotency-Key: the key lives in the row that it created, so nothing needs to be cleaned up.

import { createHash } from 'node:crypto'
import { Problem } from '@reelqueue/shared/domain/problem'
import type { FastifyReply } from 'fastify'
import { z } from 'zod'

export const idempotencyHeaders = z.object({
  'idempotency-key': z
    .string()
    .min(1)
    .max(255)
    .optional()
    .describe('The same key with the same request gives the same object; with another request, 409.'),
})

export interface Idempotency {
  readonly idempotencyKey: string | null
  readonly idempotencyHash: string | null
}

/** The key of a request with a hash of what it asks for: `route`, then the request in normal form. */
export function idempotencyOf(key: string | undefined, route: string, request: unknown): Idempotency {
  if (key === undefined) return { idempotencyKey: null, idempotencyHash: null }
  const hash = createHash('sha256')
    .update(JSON.stringify([route, request], sortKeys))
    .digest('hex')
  return { idempotencyKey: key, idempotencyHash: hash }
}

/** The hash of `[route, {...frame, normals}]` as above, for a request whose items come one by one. The names of `frame` are sorted around `normals`. */
export function hashItems(
  route: string,
  { metadata, webhookUrl }: { readonly metadata: unknown; readonly webhookUrl: string | null },
) {
  const text = (value: unknown) => JSON.stringify(value, sortKeys)
  const hash = createHash('sha256').update(`[${text(route)},{"metadata":${text(metadata)},"normals":[`)
  let separator = ''
  return {
    add(normal: unknown): void {
      hash.update(separator + text(normal))
      separator = ','
    },
    end: () => hash.update(`],"webhookUrl":${text(webhookUrl)}}]`).digest('hex'),
  }
}

/** Objects that differ in the order of their keys are the same request. */
function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
}

/**
 * Replays the row that won the key.
 * @throws Problem `idempotency_conflict` when it was made by another request
 */
export function replay<T extends Idempotency>(
  winner: T | null,
  { idempotencyHash }: Idempotency,
  reply: FastifyReply,
): T {
  // The row was there a moment ago, and rows are never deleted while their key counts.
  if (!winner) throw new Error('the row that holds the idempotency key is gone')
  if (winner.idempotencyHash !== idempotencyHash) throw new Problem('idempotency_conflict')
  reply.header('idempotency-replayed', 'true')
  return winner
}
