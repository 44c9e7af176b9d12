// Login of programs by API key. Operators log in with operator-login.ts.

import { Problem } from '@reelqueue/contract/terms/problem'
import { type CallingProject, hashOf } from '@reelqueue/shared/store/projects'
import type { FastifyRequest } from 'fastify'
import type { ApiDeps } from './deps.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The route's own statement checks the key again (known-keys.ts). */
    looksAtKey?: boolean
  }
  interface FastifyRequest {
    /** The project of the request's key; set before any handler under /v1 runs. */
    project: CallingProject
    /** Hash of the request's API key. */
    keyHash: string
  }
}

/** The API key in the request's header. */
export function keyOf(request: FastifyRequest): string | undefined {
  return /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1]
}

/** Finds the project of the request's API key. @throws Problem `unauthorized` */
export async function requireProject({ keys }: ApiDeps, request: FastifyRequest): Promise<void> {
  const key = keyOf(request)
  if (key === undefined) throw new Problem('unauthorized')
  const keyHash = hashOf(key)
  const recalled = request.routeOptions.config.looksAtKey ? keys.recall(keyHash) : null
  const project = recalled ?? (await keys.find(keyHash))
  if (!project) throw new Problem('unauthorized')
  request.project = project
  request.keyHash = keyHash
}
