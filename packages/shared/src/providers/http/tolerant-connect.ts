// Connections to the provider with repaired reply heads. The parser refuses a whole reply for a wrong head, after the
// request was paid for. The repair changes only reply heads, and is safe: the connection is closed after a repaired
// reply, so no byte can be read as the next reply.

import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import { buildConnector } from 'undici'
import { mendHead } from './mend-head.ts'

/** Limit for the headers of a reply, in bytes. */
export const HEAD_BYTES_MAX = 131_072

/** undici's connector with repaired replies. */
export function tolerantConnect(timeoutMs: number): buildConnector.connector {
  return withMendedAnswers(buildConnector({ timeout: timeoutMs, allowH2: false }))
}

/** Any connector with repaired replies. */
export function withMendedAnswers(connect: buildConnector.connector): buildConnector.connector {
  return (options, callback) => {
    connect(options, (...result) => {
      if (result[1]) mendAnswers(result[1])
      callback(...result)
    })
  }
}

/** Holds back received bytes until the head is complete; each write starts waiting for the next reply. */
function mendAnswers(socket: Socket): void {
  const read = socket.read.bind(socket)
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean
  let held: Buffer | null = Buffer.alloc(0)

  socket.write = (...args: unknown[]) => {
    held = Buffer.alloc(0)
    return write(...args)
  }
  // The parser reads whole chunks; calls with a size come from the stream itself.
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
