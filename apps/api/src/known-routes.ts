// Which methods an address takes: asked only once no route has been found, so that requests that are right pay nothing for it.

import type { FastifyInstance } from 'fastify'

export interface KnownRoutes {
  /** The methods of a path, sorted; none: there is no route. */
  methodsOf(path: string): readonly string[]
}

/** Notes every route that is registered from now on. */
export function noteRoutes(fastify: FastifyInstance): KnownRoutes {
  const routes: { readonly pattern: RegExp; readonly methods: readonly string[] }[] = []
  fastify.addHook('onRoute', ({ method, url }) => {
    routes.push({ pattern: patternOf(url), methods: typeof method === 'string' ? [method] : method })
  })
  return {
    methodsOf: (path) => {
      const methods = routes.filter(({ pattern }) => pattern.test(path)).flatMap((route) => route.methods)
      if (methods.length === 0) return []
      // Of a prefix with a slash Fastify tells only HEAD, which it makes of GET.
      const reads = methods.includes('HEAD') ? ['GET'] : []
      return [...new Set([...methods, ...reads, 'OPTIONS'])].sort()
    },
  }
}

/** Of a route's address: `:name` stands for one part of a path, `*` for any rest. */
function patternOf(url: string): RegExp {
  const source = url
    .replace(/[.+?^${}()|[\]\\]/g, '\\$&')
    .replace(/:\w+/g, '[^/]+')
    .replace(/\*/g, '.*')
  return new RegExp(`^${source}$`)
}
