// Gzip in both directions: compressed uploads, and longer replies for clients that accept gzip.

import { type PipelineSource, pipeline } from 'node:stream'
import { createGunzip, gzip } from 'node:zlib'
import { Problem } from '@reelqueue/contract/terms/problem'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** Compression saves nothing below this length. */
const REPLY_CHARS_MIN = 1_024

/**
 * Decompresses bodies while reading. The body limits apply to the decompressed bytes, so a small upload cannot become a
 * large body.
 * Any other content coding is refused as `unsupported_media_type`.
 */
export function unpackBodies(fastify: FastifyInstance): void {
  fastify.addHook('preParsing', (request, _reply, payload, done) => {
    const coding = request.headers['content-encoding']?.trim().toLowerCase()
    if (coding === undefined || coding === '' || coding === 'identity') {
      done(null, payload)
      return
    }
    if (coding !== 'gzip' && coding !== 'x-gzip') {
      done(new Problem('unsupported_media_type', 'Send the body as it is, or with `Content-Encoding: gzip`.'))
      return
    }
    const unpacked = Object.assign(createGunzip(), { receivedEncodedLength: 0 })
    payload.on('data', (piece: Buffer) => {
      // Fastify compares this number with Content-Length.
      unpacked.receivedEncodedLength += piece.length
    })
    // Without this listener an error before the first read would end the process. The later reader still gets the
    // error.
    unpacked.on('error', () => undefined)
    pipeline(payload as PipelineSource<Buffer>, unpacked, () => undefined)
    done(null, unpacked)
  })
}

/** Whether reading a body failed because the body was not gzip or was truncated. */
export function isBrokenGzip(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_\w+_ERROR$/.test(String(error.code))
}

/**
 * Compresses replies longer than about 1 KB. Streams stay uncompressed, because compression would delay the first
 * parts.
 */
export function packReplies(fastify: FastifyInstance): void {
  fastify.addHook('onSend', (request, reply, payload, done) => {
    if (typeof payload !== 'string' || payload.length < REPLY_CHARS_MIN || reply.hasHeader('content-encoding')) {
      done(null, payload)
      return
    }
    varyByCoding(reply)
    if (!takesGzip(request.headers['accept-encoding'])) {
      done(null, payload)
      return
    }
    gzip(payload, (error, packed) => {
      if (error) {
        done(error)
        return
      }
      reply.header('content-encoding', 'gzip').removeHeader('content-length')
      done(null, packed)
    })
  })
}

function varyByCoding(reply: FastifyReply): void {
  const vary = reply.getHeader('vary')
  reply.header('vary', vary === undefined ? 'Accept-Encoding' : `${String(vary)}, Accept-Encoding`)
}

/** RFC 9110: `gzip` or `*`, unless the weight is 0. */
export function takesGzip(accepted: string | string[] | undefined): boolean {
  if (accepted === undefined) return false
  const weights = new Map<string, number>()
  for (const part of String(accepted).toLowerCase().split(',')) {
    const [coding = '', ...parameters] = part.split(';').map((text) => text.trim())
    const weight = parameters.find((parameter) => parameter.startsWith('q='))
    weights.set(coding, weight === undefined ? 1 : Number(weight.slice(2)))
  }
  return (weights.get('gzip') ?? weights.get('*') ?? 0) > 0
}
