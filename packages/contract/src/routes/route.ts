// What a row of the table of routes says. The rows are data: the API registers from them, the OpenAPI document and a client's types are
// made from them, and no row knows how its request is handled.

import type { z } from 'zod'
import type { ProblemCode } from '../terms/problem.ts'
import type { Permission } from '../terms/roles.ts'

/** Who may call a route: a program with an API key, an operator with a password, or anyone. */
export type Caller = 'key' | 'operator' | 'anyone'

export const TAGS = {
  Generations: 'One request for one video, from accepting to its end.',
  Batches: 'Many generations accepted together.',
  GlobalAI: "The provider's own wire shape: change the base URL of an existing client, nothing else.",
  Webhooks: 'Endpoints, and the deliveries of events.',
  Project: 'The tenant that a key belongs to, and its defaults.',
  Operation: 'For load balancers and operators.',
  Console: 'For operators, across all projects: what the console at `/` shows and does.',
} as const

/** A reply that is not one JSON document. */
export interface MediaReply {
  readonly mediaType: string
  readonly description: string
  /** The whole reply, or one line of it when the media type is JSON Lines. */
  readonly schema: z.ZodType
}

export interface Route {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  /** As OpenAPI writes it: `/v1/generations/{id}`. */
  readonly path: `/${string}`
  readonly caller: Caller
  /** Of a route for operators: what its caller must be allowed. Absent: `see_all` for GET, else `act`. */
  readonly permission?: Permission
  readonly tag: keyof typeof TAGS
  readonly summary: string
  readonly description?: string
  readonly params?: z.ZodType
  readonly query?: z.ZodType
  readonly headers?: z.ZodType
  readonly body?: z.ZodType
  /** Absent: `application/json` only. */
  readonly bodyTypes?: readonly string[]
  /** Replies by HTTP status, without problems. */
  readonly replies: Readonly<Record<number, z.ZodType | MediaReply>>
  /** Whether replies 201 and 202 name what was made in `Location`. */
  readonly locates?: true
  /** The problems of this route alone; `problemsOf` adds those of its caller. */
  readonly problems: readonly ProblemCode[]
}

/** Every problem that a route documents. */
export function problemsOf(route: Route): readonly ProblemCode[] {
  const { caller, method, problems } = route
  if (caller === 'anyone') return problems
  if (caller === 'key') return [...problems, 'unauthorized', 'rate_limited', 'too_many_at_once', 'busy']
  const refusals: ProblemCode[] = method === 'GET' ? [] : ['cross_site']
  if (permissionOf(route) !== 'see') refusals.push(method === 'GET' ? 'not_allowed' : 'read_only')
  return [...problems, 'operator_login_required', 'too_many_guesses', ...refusals]
}

/** The problems of a JSON body. */
export const BODY_PROBLEMS = ['malformed_json', 'unsupported_media_type', 'validation_failed'] as const

/** What the caller of a route for operators must be allowed. */
export function permissionOf({ method, permission }: Route): Permission {
  return permission ?? (method === 'GET' ? 'see_all' : 'act')
}
