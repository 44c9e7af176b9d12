// Methods allowed at a path. Computed only after no route matched, so valid requests pay nothing.

import type { FastifyInstance } from 'fastify'

export interface KnownRoutes {
  /** The methods of a path, sorted; empty when there is no route. */
  methodsOf(path: string): readonly string[]
}

/** Records every route registered from now on. */
export function noteRoutes(fastify: FastifyInstance): KnownRoutes {
  const routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = []
  fastify.addHook('onRoute', ({ method, url }) => {
    routes.push({ pattern: patternOf(url), methods: typeof method === 'string' ? [method] : method })
  })
  return {
    methodsOf: (path) => {
      const methods = routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods)
      if (methods.length === 0) return []
      // For a prefix with a slash Fastify reports only the HEAD derived from GET.
      const reads = methods.includes('HEAD') ? ['GET'] : []
      return [...new Set([...methods, ...reads, 'OPTIONS'])].sort()
    },
  }
}

/** The pattern of a route's path: `:name` matches a single segment, `*` matches any rest. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:\w+/g, '[^/]+')
    .replace(/\*/g, '.*')
  return new RegExp(`^${source}$`)
}
