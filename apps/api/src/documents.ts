// The OpenAPI document and the pages about it: made and compressed once, with the hash as ETag, so clients with a copy get a 304.

import { createHash } from 'node:crypto'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { takesGzip } from './compression.ts'
import { PAGE, readScalar, START } from './reference-page.ts'

interface Document {
  readonly type: string
  readonly bytes: Buffer
  readonly packed: Buffer
  readonly etag: string
}

const pack = promisify(gzip)
const JSON_TYPE = 'application/json; charset=utf-8'
const SCRIPT_TYPE = 'text/javascript; charset=utf-8'

async function documentOf(type: string, text: string): Promise<Document> {
  const etag = createHash('sha256').update(text).digest('base64url')
  return { type, bytes: Buffer.from(text), packed: await pack(text), etag }
}

/** Serves /openapi.json, and the reference page below /docs. */
export function serveDocuments(fastify: FastifyInstance): void {
  const options = { schema: { hide: true } }
  /** Made on the first request: routes may be added until the API listens. */
  function served(type: string, make: () => string | Promise<string>) {
    let document: Promise<Document> | undefined
    return async (request: FastifyRequest, reply: FastifyReply) => {
      document ??= Promise.resolve(make()).then((text) => documentOf(type, text))
      try {
        return send(await document, request, reply)
      } catch (error) {
        // The next request tries again.
        document = undefined
        throw error
      }
    }
  }
  const json = served(JSON_TYPE, () => JSON.stringify(fastify.swagger()))
  fastify.get('/openapi.json', options, json)
  // Relative, so that the address stays below the path of any proxy.
  fastify.get('/docs', options, async (_request, reply) => reply.redirect('docs/'))
  const pages = {
    '': served('text/html; charset=utf-8', () => PAGE),
    'start.js': served(SCRIPT_TYPE, () => START),
    'scalar.js': served(SCRIPT_TYPE, readScalar),
    json,
    yaml: served('application/yaml', () => fastify.swagger({ yaml: true })),
  }
  for (const [name, handler] of Object.entries(pages)) fastify.get(`/docs/${name}`, options, handler)
}

function send({ type, bytes, packed, etag }: Document, { headers }: FastifyRequest, reply: FastifyReply): FastifyReply {
  const isPacked = takesGzip(headers['accept-encoding'])
  // Each content coding has a separate ETag.
  const tag = `"${etag}${isPacked ? '-gzip' : ''}"`
  reply.header('etag', tag).header('cache-control', 'no-cache').header('vary', 'Accept-Encoding')
  if (headers['if-none-match']?.split(/\s*,\s*/).includes(tag)) return reply.code(304).send()
  reply.type(type)
  return isPacked ? reply.header('content-encoding', 'gzip').send(packed) : reply.send(bytes)
}
