// A request refused before the body has arrived: the client can read the refusal, and the connection ends soon, even if
// the client goes on sending.

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, expect, it } from 'vitest'
import { MINIMAL, startApi } from './support/api.ts'
import { until } from './support/wait.ts'

const { app, client } = await startApi({ REQUESTS_PER_MINUTE_PER_KEY: '1' })
const { port } = new URL(app.url)
// The only request allowed for the key in this minute.
await client.get('/v1/project')

/** Far below the minutes of a slow client, and far above the needs of a busy machine. */
const SOON_MS = 15_000

interface Conversation {
  readonly socket: Socket
  heard(): string
  isOver(): boolean
}

/** Sends a request; the client's side stays open after the API ends its side. */
async function open(lines: readonly string[], body = ''): Promise<Conversation> {
  const socket = connect({ port: Number(port), allowHalfOpen: true })
  let [heard, over] = ['', false]
  socket.on('data', (piece) => {
    heard += piece
  })
  socket.on('error', () => undefined)
  socket.on('close', () => {
    over = true
  })
  await once(socket, 'connect')
  socket.write(`${lines.join('\r\n')}\r\nHost: test\r\n\r\n${body}`)
  return { socket, heard: () => heard, isOver: () => over }
}

const JSON_TYPE = 'Content-Type: application/json'
const LONG = 'Content-Length: 30000000'
const CHUNKED = 'Transfer-Encoding: chunked'
const KEY = `Authorization: Bearer ${app.key}`

describe('a request that is refused while its body is under way', () => {
  it.each([
    ['without a key', 401, ['POST /v1/batches HTTP/1.1', JSON_TYPE, LONG]],
    ['of lines without a key', 401, ['POST /v1/batches HTTP/1.1', 'Content-Type: application/x-ndjson', CHUNKED]],
    ['that is one too many', 429, ['POST /v1/batches HTTP/1.1', KEY, JSON_TYPE, LONG]],
    ['to an address that takes no such method', 405, ['PUT /v1/batches HTTP/1.1', JSON_TYPE, LONG]],
    ['to no address', 404, ['POST /nothing HTTP/1.1', JSON_TYPE, LONG]],
    ['of an operator', 401, ['POST /admin/submitting/pause HTTP/1.1', JSON_TYPE, LONG]],
  ])('%s is answered with %i, and its connection ends', async (_title, status, lines) => {
    const { socket, heard, isOver } = await open(lines)
    const dripping = setInterval(() => socket.write(lines.includes(CHUNKED) ? '1\r\n{\r\n' : '{'), 50)
    try {
      await until('the reply has come', () => heard().includes('\r\n\r\n'), { timeoutMs: SOON_MS })
      expect(heard()).toMatch(new RegExp(`^HTTP/1.1 ${status} `))
      expect(heard().toLowerCase()).toContain('\r\nconnection: close\r\n')
      await until('the connection has ended', isOver, { timeoutMs: SOON_MS })
    } finally {
      clearInterval(dripping)
      socket.destroy()
    }
  })

  it('reaches a client that writes all of it before it reads', async () => {
    const { socket, heard } = await open(['POST /v1/batches HTTP/1.1', JSON_TYPE, LONG])
    socket.pause()
    await new Promise((resolve) => socket.write(Buffer.alloc(30_000_000, ' '), resolve))
    socket.resume()
    await until('the reply has come', () => heard().includes('unauthorized'), { timeoutMs: SOON_MS })
    socket.destroy()
  })

  it('keeps its connection when the body has come', async () => {
    const body = JSON.stringify(MINIMAL)
    const head = ['POST /v1/generations HTTP/1.1', JSON_TYPE, `Content-Length: ${body.length}`]
    const { socket, heard, isOver } = await open(head, body)
    await until('the reply has come', () => heard().includes('unauthorized'), { timeoutMs: SOON_MS })
    expect([heard().toLowerCase().includes('connection: close'), isOver()]).toEqual([false, false])
    socket.destroy()
  })
})
