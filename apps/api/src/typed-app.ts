// Fastify with handlers typed by the zod schemas of the routes.

import type { FastifyInstance } from 'fastify'
import type { ZodTypeProvider } from 'fastify-type-provider-zod'

export type App = ReturnType<typeof withZod>

export function withZod(fastify: FastifyInstance) {
  return fastify.withTypeProvider<ZodTypeProvider>()
}
