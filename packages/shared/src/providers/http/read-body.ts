// Makes text of the bytes of an answer: undoes compression, whether it was announced or not, and finds the
// encoding of the characters. It never throws: what cannot be undone stays as it came, and is kept as evidence.

import { Buffer } from 'node:buffer'
import type { Transform } from 'node:stream'
import * as zlib from 'node:zlib'

/** More layers than this are no provider's answer. */
const LAYERS_MAX = 4

/**
 * The text of a body. `contentEncoding` and `contentType` are the headers as sent, which may be wrong: the bytes
 * decide where they can. A body that ends early gives what came. `isTooLarge`: the text is its first `bytesMax` bytes.
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
    // Plain text called brotli decodes to nothing or to noise, and some brotli begins like plain text.
    const isNoise = looksPlain(body) && !looksPlain(decoded) && announced.length === 0
    if (decoded.length === 0 || isNoise) break
    body = decoded
  }
  const isTooLarge = body.length > bytesMax
  return { text: decodeText(body.subarray(0, bytesMax), headers.contentType), isTooLarge }
}

/** Whether the body begins as JSON or a page does. */
const looksPlain = (body: Buffer) => /^\s*[{["<]/.test(body.subarray(0, 64).toString('latin1'))

/** What undoes the outermost compression: by the first bytes, and by the header only where the bytes cannot tell. */
function decoderOf(body: Buffer, announced: string | undefined): Transform | null {
  const finishFlush = zlib.constants.Z_SYNC_FLUSH
  const [first, second] = body
  if (first === 0x1f && second === 0x8b) return zlib.createGunzip({ finishFlush })
  if (body.length >= 4 && body.readUInt32LE(0) === 0xfd2fb528) {
    // Node.js before 22.15 cannot read zstd.
    const create: unknown = Reflect.get(zlib, 'createZstdDecompress')
    return typeof create === 'function' ? create() : null
  }
  if (first === 0x78 && second !== undefined && [0x01, 0x5e, 0x9c, 0xda].includes(second)) {
    return zlib.createInflate({ finishFlush })
  }
  if (announced === 'br') return zlib.createBrotliDecompress({ finishFlush: zlib.constants.BROTLI_OPERATION_FLUSH })
  return announced === 'deflate' ? zlib.createInflateRaw({ finishFlush }) : null
}

/** What `decoder` makes of `body`, up to `bytesMax` bytes or its first error: a small body must not fill the memory. */
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

/** Bytes as text: a byte order mark decides, then UTF-8 where it is valid, then what the header names, then GB 18030. */
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

/** Null when the bytes are not in `encoding`, or it is not known. A character cut in half at the end is left out. */
function attempt(body: Buffer, encoding: string): string | null {
  try {
    return new TextDecoder(encoding, { fatal: true }).decode(body, { stream: true })
  } catch {
    return null
  }
}
