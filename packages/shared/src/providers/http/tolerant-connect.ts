// Connections to the provider on which the head of an answer is mended before the parser sees it. The parser
// refuses the whole answer for a wrong head, after the request was paid for. Nothing else on the connection changes.
// It is safe because an answer is never guessed: the connection is closed after a mended one, so that no byte of it
// can be read as the next answer.

import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { mendHead } from './mend-head.ts'

/** Bytes of headers that an answer may have. */
export const HEAD_BYTES_MAX = 131_072

/** undici's own way of connecting, with the answers mended. */
export function tolerantConnect(timeoutMs: number): buildConnector.connector {
  return withMendedAnswers(buildConnector({ timeout: timeoutMs, allowH2: false }))
}

/** Any way of connecting, with the answers mended. */
export function withMendedAnswers(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...result) => {
      if (result[1]) mendAnswers(result[1])
      callback(...result)
    })
  }
}

/** Holds back what is read until the head is complete; each write begins to wait for the next answer. */
function mendAnswers(socket: Socket): void {
  const read = socket.read.bind(socket)
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  let held: Buffer | null = Buffer.alloc(0)

  socket.write = (...args: unknown[]) => {
    held = Buffer.alloc(0)
    return write(...args)
  }
  // The parser reads whole chunks; a number comes from the stream itself.
  socket.read = (size?: number) => {
    if (size !== undefined || held === null) return read(size)
    for (let chunk: Buffer | null = read(); chunk !== null; chunk = read()) {
      held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    }
    const mended = held.length > HEAD_BYTES_MAX * 2 ? held : mendHead(held)
    if (mended !== null) held = null
    return mended
  }
}
