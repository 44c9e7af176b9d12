// The OpenAPI document: serialised and compressed once, with the hash as ETag, so clients with a copy get a 304.

import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { takesGzip } from './compression.ts'

interface Document {
  readonly type: string
  readonly text: string
  readonly packed: Buffer
  readonly etag: string
}

/**
 * Serves /openapi.json; `atDocs` serves the same document below the prefix of the documentation pages (`/json` and
 * `/yaml`).
 */
export function serveDocument(fastify: FastifyInstance, prefix: string) {
  const documents = new Map<string, Document>()
  const paths = { [`${prefix}/json`]: 'json', [`${prefix}/yaml`]: 'yaml' } as const

  /** Created on the first request: routes may be added until the API listens. */
  function documentOf(form: 'json' | 'yaml'): Document {
    const known = documents.get(form)
    if (known) return known
    const text = form === 'json' ? JSON.stringify(fastify.swagger()) : fastify.swagger({ yaml: true })
    const etag = createHash('sha256').update(text).digest('base64url')
    const type = form === 'json' ? 'application/json; charset=utf-8' : 'application/x-yaml'
    const made = { type, text, packed: gzipSync(text), etag }
    documents.set(form, made)
    return made
  }
  function send(form: 'json' | 'yaml', { headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
    const { type, text, packed, etag } = documentOf(form)
    const isPacked = takesGzip(headers['accept-encoding'])
    // Each content coding has a separate ETag.
    const tag = `"${etag}${isPacked ? '-gzip' : ''}"`
    reply.header('etag', tag).header('cache-control', 'no-cache').header('vary', 'Accept-Encoding')
    if (headers['if-none-match']?.split(/\s*,\s*/).includes(tag)) return reply.code(304).send()
    reply.type(type)
    return isPacked ? reply.header('content-encoding', 'gzip').send(packed) : reply.send(Buffer.from(text))
  }

  fastify.get('/openapi.json', { schema: { hide: true } }, async (request, reply) => send('json', request, reply))
  return {
    atDocs(request: FastifyRequest, reply: FastifyReply, next: () => void): void {
      const form = paths[request.routeOptions.url as keyof typeof paths]
      if (form) send(form, request, reply)
      else next()
    },
  }
}
