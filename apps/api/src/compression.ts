// Gzip in both directions: uploads that come compressed, and replies of some length for clients that take them so.

import { type PipelineSource, pipeline } from 'node:stream'
import { createGunzip, gzip } from 'node:zlib'
import { Problem } from '@reelqueue/shared/domain/problem'
import type { FastifyInstance, FastifyReply } from 'fastify'

/** What saves nothing is sent as it is. */
const REPLY_CHARS_MIN = 1_024

/**
 * Unpacks bodies as they are read. The bounds of a body hold for what comes out, so that a small upload cannot become a large one.
 * Any other coding is refused as `unsupported_media_type`.
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
      // Fastify compares this with Content-Length.
      unpacked.receivedEncodedLength += piece.length
    })
    // Who reads the stream meets its error, also when the reading begins later; until then nobody listens, which would end the process.
    unpacked.on('error', () => undefined)
    pipeline(payload as PipelineSource<Buffer>, unpacked, () => undefined)
    done(null, unpacked)
  })
}

/** Whether an error of reading a body says that it was no gzip, or ended too early. */
export function isBrokenGzip(error: unknown): boolean {
  return error instanceof Error && 'code' in error && /^Z_\w+_ERROR$/.test(String(error.code))
}

/** Compresses replies of more than about 1 KB. Streams go as they are: nothing of them may wait for the rest. */
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

/** By RFC 9110: `gzip` or `*`, unless its weight is 0. */
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
