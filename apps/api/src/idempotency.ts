// Idempotency-Key: the key is stored in the row created by the request, so there is nothing to clean up.

import { createHash } from 'node:crypto'
import { Problem } from '@reelqueue/contract/terms/problem'
import type { FastifyReply } from 'fastify'

export interface Idempotency {
  readonly idempotencyKey: string | null
  readonly idempotencyHash: string | null
}

/** The key of a request with a hash of the content: `route`, then the request in normal form. */
export function idempotencyOf(key: string | undefined, route: string, request: unknown): Idempotency {
  if (key === undefined) return { idempotencyKey: null, idempotencyHash: null }
  const hash = createHash('sha256')
    .update(JSON.stringify([route, request], sortKeys))
    .digest('hex')
  return { idempotencyKey: key, idempotencyHash: hash }
}

/**
 * The same hash as `idempotencyOf` for `[route, {...frame, normals}]`, when the items arrive one at a time. The names
 * `metadata` and `webhookUrl` sort before and after `normals`.
 */
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

/** The order of an object's keys does not matter. */
function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  return Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1)))
}

/**
 * Replays the row that holds the key.
 * @throws Problem `idempotency_conflict` when another request created the row
 */
export function replay<T extends Idempotency>(
  winner: T | null,
  { idempotencyHash }: Idempotency,
  reply: FastifyReply,
): T {
  // The row existed a moment ago, and a row is never deleted while the key is valid.
  if (!winner) throw new Error('the row that holds the idempotency key is gone')
  if (winner.idempotencyHash !== idempotencyHash) throw new Problem('idempotency_conflict')
  reply.header('idempotency-replayed', 'true')
  return winner
}
