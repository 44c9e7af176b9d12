// Fastify whose handlers are typed by their routes' zod schemas.

import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'

export type App = ReturnType<typeof withZod>

export function withZod(fastify: FastifyInstance) {
  return fastify.withTypeProvider<ZodTypeProvider>()
}
