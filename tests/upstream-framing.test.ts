// Create replies that are compressed, in unusual encodings or badly framed, sent byte by byte. Each reply names a task
// that was paid for, so the adapter must read the reply. An unreadable reply stays unknown, and its bytes are kept.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PLAIN_REQUEST as request } from './support/scripted-upstream.ts'

const taskId = 'sora_abc123'
const json = Buffer.from(`{"id":"${taskId}","object":"video.generation","status":"queued","model":"影片"}`)

type Play = (socket: Socket) => void
const plays: Play[] = []
const sockets = new Set<Socket>()
const server = createServer((socket) => {
  sockets.add(socket)
  socket.on('error', () => undefined)
  // The request is complete with the last byte of the JSON body.
  socket.on('data', (chunk) => {
    if (chunk.toString('latin1').endsWith('}')) plays.shift()?.(socket)
  })
})
beforeAll(async () => {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
})
afterAll(async () => {
  for (const socket of sockets) socket.destroy()
  server.close()
  await once(server, 'close')
})

async function submit(play: Play, timeoutMs = 5_000) {
  plays.push(play)
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const upstream = createGlobalAi({ baseUrl, apiKey: 'sk-0123456789abcdef', timeoutMs })
  const outcome = await upstream.submit(request)
  await upstream.close()
  return outcome
}

const raw = (head: string, body: Buffer = json) => Buffer.concat([Buffer.from(head, 'latin1'), body])
const sized = (headers: string, body: Buffer) =>
  raw(`HTTP/1.1 200 OK\r\n${headers}Content-Length: ${body.length}\r\n\r\n`, body)
const chunked = (body: Buffer) =>
  Buffer.concat([Buffer.from(`${body.length.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')])
const gbk = Buffer.concat([
  Buffer.from(`{"id":"${taskId}","msg":"`),
  Buffer.from([0xb3, 0xc9, 0xb9, 0xa6]),
  Buffer.from('"}'),
])
const utf16 = (text: string) => Buffer.from(`\uFEFF${text}`, 'utf16le')
const gzip = 'Content-Encoding: gzip\r\n'

describe('the task of an answer is read', () => {
  test.each<[string, Buffer]>([
    ['gzip, not asked for', sized(gzip, gzipSync(json))],
    ['x-gzip', sized('Content-Encoding: x-gzip\r\n', gzipSync(json))],
    ['gzip that is not announced', sized('', gzipSync(json))],
    ['gzip that is announced but not done', sized(gzip, json)],
    ['gzip twice', sized('Content-Encoding: gzip, gzip\r\n', gzipSync(gzipSync(json)))],
    ['gzip without its last bytes', sized(gzip, gzipSync(json).subarray(0, -6))],
    ['gzip in chunks', raw(`HTTP/1.1 200 OK\r\n${gzip}Transfer-Encoding: chunked\r\n\r\n`, chunked(gzipSync(json)))],
    ['deflate', sized('Content-Encoding: deflate\r\n', deflateSync(json))],
    ['deflate without a header of its own', sized('Content-Encoding: deflate\r\n', deflateRawSync(json))],
    ['brotli', sized('Content-Encoding: br\r\n', brotliCompressSync(json))],
    ['brotli below gzip', sized('Content-Encoding: br, gzip\r\n', gzipSync(brotliCompressSync(json)))],
    ['an encoding nobody knows around plain JSON', sized('Content-Encoding: snappy\r\n', json)],
    ['UTF-8 with a byte order mark', sized('', Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), json]))],
    ['UTF-16', sized('', utf16(json.toString()))],
    ['UTF-16, big-endian', sized('', utf16(json.toString()).swap16())],
    ['GBK, named', sized('Content-Type: application/json; charset=GBK\r\n', gbk)],
    ['GBK, not named', sized('Content-Type: application/json\r\n', gbk)],
    ['UTF-8 that is called GBK', sized('Content-Type: application/json; charset=GBK\r\n', json)],
  ])('%s', async (_name, bytes) => {
    expect(await submit((socket) => socket.write(bytes))).toMatchObject({ kind: 'accepted', taskId })
  })

  const ok = 'HTTP/1.1 200 OK\r\n'
  const longHeaders = Array.from({ length: 60 }, (_, n) => `X-Long-${n}: ${'x'.repeat(1_000)}\r\n`).join('')
  test.each<[string, Buffer]>([
    [
      'Content-Length and chunked',
      raw(`${ok}Content-Length: ${json.length}\r\nTransfer-Encoding: chunked\r\n\r\n`, chunked(json)),
    ],
    [
      'chunked and Content-Length, not in chunks',
      raw(`${ok}Transfer-Encoding: chunked\r\nContent-Length: ${json.length}\r\n\r\n`),
    ],
    ['two equal Content-Lengths', raw(`${ok}Content-Length: ${json.length}\r\nContent-Length: ${json.length}\r\n\r\n`)],
    ['a Content-Length that counts characters', raw(`${ok}Content-Length: ${json.length - 4}\r\n\r\n`)],
    ['headers of 60 KB', sized(longHeaders, json)],
    ['control characters in a header', sized('X-Odd: a\x01b\x7f\r\n', json)],
    ['a header line without a colon', sized('PHP Warning\r\n', json)],
    ['a header name with a space', sized('X Odd: 1\r\n', json)],
    ['lines that end in LF only', raw(`HTTP/1.1 200 OK\nContent-Length: ${json.length}\n\n`)],
    ['empty lines before the answer', raw(`\r\n\r\n${ok}Content-Length: ${json.length}\r\n\r\n`)],
    ['an HTTP version nobody knows', raw(`HTTP/2 200\r\nContent-Length: ${json.length}\r\n\r\n`)],
    [
      'HTTP 100 and 103 before the answer',
      raw(
        `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${ok}Content-Length: ${json.length}\r\n\r\n`,
      ),
    ],
    ['a folded header', sized('X-Folded: a\r\n b\r\n', json)],
  ])('%s', async (_name, bytes) => {
    expect(await submit((socket) => socket.write(bytes))).toMatchObject({ kind: 'accepted', taskId })
    // The same reply, in two pieces split at an unusual place.
    const half = bytes.length - json.length - 3
    const pieces = (socket: Socket) => {
      socket.setNoDelay(true)
      socket.write(bytes.subarray(0, half), () => setImmediate(() => socket.write(bytes.subarray(half))))
    }
    expect(await submit(pieces)).toMatchObject({ kind: 'accepted', taskId })
  })

  test.each<[string, Buffer]>([
    ['no length, ended by the close', raw(`${ok}\r\n`)],
    ['HTTP/1.0', raw('HTTP/1.0 200 OK\r\n\r\n')],
    ['a Content-Length that is too long', raw(`${ok}Content-Length: ${json.length + 50}\r\n\r\n`)],
    ['a Content-Length that is no number', raw(`${ok}Content-Length: many\r\n\r\n`)],
    ['two different Content-Lengths', raw(`${ok}Content-Length: 5\r\nContent-Length: ${json.length}\r\n\r\n`)],
    ['chunks without the last one', raw(`${ok}Transfer-Encoding: chunked\r\n\r\n`, chunked(json).subarray(0, -7))],
    ['called chunked, but it is not', raw(`${ok}Transfer-Encoding: chunked\r\n\r\n`)],
    ['Transfer-Encoding: identity', raw(`${ok}Transfer-Encoding: identity\r\n\r\n`)],
    ['no length, gzip', raw(`${ok}${gzip}\r\n`, gzipSync(json))],
  ])('%s', async (_name, bytes) => {
    expect(await submit((socket) => socket.end(bytes))).toMatchObject({ kind: 'accepted', taskId })
  })
})

test('an answer that was there in time is read, though the process slept past the time limit', async () => {
  const sleepPastIt: Play = (socket) => {
    socket.write(sized('', json))
    const until = performance.now() + 400
    while (performance.now() < until);
  }
  expect(await submit(sleepPastIt, 200)).toMatchObject({ kind: 'accepted', taskId })
})

test('a compressed answer that grows without bound stays unknown', async () => {
  const bomb = gzipSync(Buffer.alloc(64 * 1_048_576, 0x20))
  expect(await submit((socket) => socket.write(sized(gzip, bomb)))).toMatchObject({
    kind: 'unknown',
    code: 'upstream_answer_too_large',
  })
})

test('what is no HTTP stays unknown', async () => {
  expect(await submit((socket) => socket.end(json))).toMatchObject({
    kind: 'unknown',
    code: 'upstream_connection_lost',
  })
})

describe('what is kept of an answer', () => {
  test('status, headers and body as text, without the key', async () => {
    const body = gzipSync(Buffer.from(`{"id":"${taskId}","echo":"sk-0123456789abcdef"}`))
    const head = `${gzip}Content-Type: application/json\r\nX-Request-Id: r1\r\nSet-Cookie: secret=1\r\n`
    expect(await submit((socket) => socket.write(sized(head, body)))).toMatchObject({
      kind: 'accepted',
      reply: {
        http_status: 200,
        headers: { 'content-type': 'application/json', 'content-encoding': 'gzip', 'x-request-id': 'r1' },
        body: `{"id":"${taskId}","echo":"[hidden]"}`,
        truncated: false,
        bytes: body.length,
        cut: null,
      },
    })
  })

  test('at most 8 KB, and it says when more came', async () => {
    const { reply } = await submit((socket) => socket.write(sized('', Buffer.from('\u5f71'.repeat(5_000)))))
    expect(Buffer.byteLength(reply?.body ?? '')).toBeLessThanOrEqual(8_192)
    expect(reply).toMatchObject({ truncated: true, bytes: 15_000 })
  })

  test('what came that is no HTTP, and that nothing came', async () => {
    const odd = await submit((socket) => socket.end(json))
    expect(odd.reply).toMatchObject({ http_status: null, body: expect.stringContaining(taskId), truncated: true })
    const silent = await submit((socket) => socket.destroy())
    expect(silent).toMatchObject({ kind: 'unknown', reply: { http_status: null, body: '', bytes: 0 } })
  })
})
