// The public address of the API (PUBLIC_URL). A reverse proxy may serve the API below a path, and may strip or pass on
// the path: both work. Every address made by the API contains the path.

import type { FastifyInstance } from 'fastify'

/** The path prefix of the public URL: empty, or with a leading slash and without a trailing slash. */
export function publicPathOf(publicUrl: string | undefined): string {
  return publicUrl === undefined ? '' : new URL(publicUrl).pathname.replace(/\/$/, '')
}

/** Removes the public path from a request's URL; unchanged when a proxy has stripped the path. */
export function withoutPublicPath(publicPath: string, url: string): string {
  if (!url.startsWith(publicPath)) return url
  const rest = url.slice(publicPath.length)
  if (rest === '' || rest.startsWith('?')) return `/${rest}`
  return rest.startsWith('/') ? rest : url
}

/** Adds the public path to `Location` headers of any route or library. */
export function prefixLocations(app: FastifyInstance, publicPath: string): void {
  if (publicPath === '') return
  app.addHook('onSend', async (_request, reply) => {
    const location = reply.getHeader('location')
    if (typeof location !== 'string' || !location.startsWith('/')) return
    reply.header('location', publicPath + withoutPublicPath(publicPath, location))
  })
}
