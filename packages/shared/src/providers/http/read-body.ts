// Decodes the bytes of a reply to text: undoes compression, announced or not, and detects the character encoding. Never
// throws: undecodable bytes stay unchanged as evidence.

import { Buffer } from 'node:buffer'
import type { Transform } from 'node:stream'
import * as zlib from 'node:zlib'

/** No provider compresses more often than this. */
const LAYERS_MAX = 4

/**
 * The text of a body. `contentEncoding` and `contentType` are the received headers, which may be wrong: where possible
 * the bytes decide. A truncated body gives the received part. `isTooLarge`: the text is the first `bytesMax` bytes.
 */
export async function readBody(
  raw: Buffer,
  headers: { readonly contentEncoding: string; readonly contentType: string },
  bytesMax: number,
): Promise<{ text: string; isTooLarge: boolean }> {
  const announced = headers.contentEncoding
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity')
  let body = raw
  for (let layer = 0; layer < LAYERS_MAX; layer++) {
    const decoder = decoderOf(body, announced.pop())
    if (decoder === null) {
      if (announced.length === 0) break
      continue
    }
    const decoded = await decode(body, decoder, bytesMax + 1)
    // Plain text announced as brotli decodes to nothing or noise, and some brotli begins like plain text.
    const isNoise = looksPlain(body) && !looksPlain(decoded) && announced.length === 0
    if (decoded.length === 0 || isNoise) break
    body = decoded
  }
  const isTooLarge = body.length > bytesMax
  return { text: decodeText(body.subarray(0, bytesMax), headers.contentType), isTooLarge }
}

/** Whether the body begins like JSON or HTML. */
const looksPlain = (body: Buffer) => /^\s*[{["<]/.test(body.subarray(0, 64).toString('latin1'))

/**
 * The decoder of the outermost compression: by the first bytes, and by the header only for formats without a signature.
 */
function decoderOf(body: Buffer, announced: string | undefined): Transform | null {
  const finishFlush = zlib.constants.Z_SYNC_FLUSH
  const [first, second] = body
  if (first === 0x1f && second === 0x8b) return zlib.createGunzip({ finishFlush })
  if (body.length >= 4 && body.readUInt32LE(0) === 0xfd2fb528) {
    // Node.js before 22.15 cannot decode zstd.
    const create: unknown = Reflect.get(zlib, 'createZstdDecompress')
    return typeof create === 'function' ? create() : null
  }
  if (first === 0x78 && second !== undefined && [0x01, 0x5e, 0x9c, 0xda].includes(second)) {
    return zlib.createInflate({ finishFlush })
  }
  if (announced === 'br') return zlib.createBrotliDecompress({ finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH })
  return announced === 'deflate' ? zlib.createInflateRaw({ finishFlush }) : null
}

/** The output of `decoder`, up to `bytesMax` bytes or the first error: a small body must not fill the memory. */
function decode(body: Buffer, decoder: Transform, bytesMax: number): Promise<Buffer> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let bytes = 0
    const finish = () => {
      decoder.destroy()
      resolve(Buffer.concat(chunks).subarray(0, bytesMax))
    }
    decoder.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= bytesMax) finish()
    })
    decoder.on('end', finish)
    decoder.on('error', finish)
    decoder.end(body)
  })
}

/** Bytes as text: a byte order mark decides, then valid UTF-8, then the header's charset, then GB 18030. */
function decodeText(body: Buffer, contentType: string): string {
  const [first, second] = body
  if ((first === 0xff && second === 0xfe) || (first === 0x7b && second === 0)) return attempt(body, 'utf-16le') ?? ''
  if ((first === 0xfe && second === 0xff) || (first === 0 && second === 0x7b)) return attempt(body, 'utf-16be') ?? ''
  const named = /charset\s*=\s*"?([\w.:-]{1,40})/i.exec(contentType)?.[1]
  return (
    attempt(body, 'utf-8') ??
    (named === undefined ? null : attempt(body, named)) ??
    attempt(body, 'gb18030') ??
    new TextDecoder().decode(body)
  )
}

/** Null when the bytes are invalid in `encoding`, or the encoding is unknown. A truncated last character is dropped. */
function attempt(body: Buffer, encoding: string): string | null {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(body, { stream: true })
  } catch {
    return null
  }
}
