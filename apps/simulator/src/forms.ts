// The right answer in a form that a server should not choose: compressed without a request for compression, behind a PHP notice, or framed
// against the rules of HTTP. Each answer is readable, and each answer was paid for.
import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import type { FastifyReply, FastifyRequest } from 'fastify'

export const FORMS = [
  'gzip',
  'br',
  'deflate',
  'notice',
  'longheaders',
  'bothlengths',
  'shortlength',
  'unchunked',
] as const
export type Form = (typeof FORMS)[number]

const NOTICE =
  '<br />\n<b>Notice</b>:  Undefined index: ref in <b>/var/www/api/video.php</b> on line <b>214</b><br />\n'
/** Together more than 16 KiB, the default limit of HTTP parsers. */
const LONG_HEADERS = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`x-trace-${n}`, 'x'.repeat(1_000)]))
const COMPRESS = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync } as const

/** Sends `answer` with HTTP 200 in this form. A form that breaks the rules of HTTP is written to the socket, which then ends. */
export async function sendInForm(
  request: FastifyRequest,
  reply: FastifyReply,
  form: Form,
  answer: Record<string, unknown>,
): Promise<void> {
  const json = JSON.stringify(answer)
  const length = Buffer.byteLength(json)
  switch (form) {
    case 'gzip':
    case 'br':
    case 'deflate':
      await reply.type('application/json').header('content-encoding', form).send(COMPRESS[form](json))
      return
    case 'notice':
      await reply.type('text/html').send(NOTICE + json)
      return
    case 'longheaders':
      await reply.headers(LONG_HEADERS).send(answer)
      return
    case 'bothlengths':
      write(request, reply, [`Content-Length: ${length}`, 'Transfer-Encoding: chunked'], chunked(json))
      return
    case 'shortlength':
      write(request, reply, [`Content-Length: ${length - 4}`], json)
      return
    case 'unchunked':
      write(request, reply, ['Transfer-Encoding: chunked'], json)
      return
  }
}

const chunked = (json: string) => `${Buffer.byteLength(json).toString(16)}\r\n${json}\r\n0\r\n\r\n`

function write(request: FastifyRequest, reply: FastifyReply, framing: readonly string[], body: string): void {
  reply.hijack()
  const head = ['HTTP/1.1 200 OK', 'Content-Type: application/json', ...framing].join('\r\n')
  request.socket.end(`${head}\r\n\r\n${body}`)
}
