// Where people reach the API (PUBLIC_URL). A reverse proxy may serve it below a path, and may strip that path or pass it on:
// both work. Every address that we make ourselves has the path.

import type { FastifyInstance } from 'fastify'

/** The path in front of our own paths: empty, or one that begins with a slash and does not end with one. */
export function publicPathOf(publicUrl: string | undefined): string {
  return publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '')
}

/** Takes the public path off a request's URL; a proxy that strips it left nothing to take off. */
export function withoutPublicPath(publicPath: string, url: string): string {
  if (!url.startsWith(publicPath)) return url
  const rest = url.slice(publicPath.length)
  if (rest === '' || rest.startsWith('?')) return `/${rest}`
  return rest.startsWith('/') ? rest : url
}

/** Puts the public path in front of what replies lead to, whichever route or library wrote it. */
export function prefixLocations(app: FastifyInstance, publicPath: string): void {
  if (publicPath === '') return
  app.addHook('onSend', async (_request, reply) => {
    const location = reply.getHeader('location')
    if (typeof location !== 'string' || !location.startsWith('/')) return
    reply.header('location', publicPath + withoutPublicPath(publicPath, location))
  })
}
