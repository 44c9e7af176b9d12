// A stand-in for a pooler in transaction mode: all its clients share one connection to Postgres, one simple query at a time.

import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { openClient } from './database.ts'

export interface TransactionPooler {
  readonly url: string
  close(): Promise<void>
}

/** A packet of the protocol: a letter, the length of length field and content together, and the content. */
function packet(type: string, content = Buffer.alloc(0)): Buffer {
  const length = Buffer.alloc(4)
  length.writeInt32BE(content.length + 4)
  return Buffer.concat([Buffer.from(type), length, content])
}

const READY = packet('Z', Buffer.from('I'))

/** Answers statements without parameters with Postgres's rows, as text. Errors end the client's connection. */
export async function startTransactionPooler(databaseUrl: string): Promise<TransactionPooler> {
  const backend = await openClient(databaseUrl)
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    let hasStarted = false
    let received = Buffer.alloc(0)
    socket.on('error', () => socket.destroy())
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received, chunk])
      if (!hasStarted) {
        hasStarted = true
        received = Buffer.alloc(0)
        // Authenticated without a password.
        socket.write(Buffer.concat([packet('R', Buffer.alloc(4)), READY]))
        return
      }
      while (received.length >= 5 && received.length > received.readInt32BE(1)) {
        const end = received.readInt32BE(1) + 1
        const [type, content] = [received.toString('latin1', 0, 1), received.subarray(5, end)]
        received = received.subarray(end)
        if (type !== 'Q') return socket.end()
        answer(content.toString('utf8', 0, content.length - 1)).then(
          (reply) => socket.write(reply),
          () => socket.destroy(),
        )
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')

  async function answer(text: string): Promise<Buffer> {
    const result = await backend.query({ text, rowMode: 'array', types: { getTypeParser: () => String } })
    const last = Array.isArray(result) ? result.at(-1) : result
    const { fields, rows } = last as { fields: { name: string; dataTypeID: number }[]; rows: (string | null)[][] }
    const replies: Buffer[] = []
    if (fields.length > 0) replies.push(packet('T', Buffer.concat([int16(fields.length), ...fields.map(description)])))
    for (const row of rows) replies.push(packet('D', Buffer.concat([int16(row.length), ...row.map(value)])))
    return Buffer.concat([...replies, packet('C', Buffer.from('SELECT 0\0')), READY])
  }

  const url = new URL(databaseUrl)
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url: url.href,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await backend.end()
    },
  }
}

function int16(number: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeInt16BE(number)
  return bytes
}

function int32(number: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(number)
  return bytes
}

/** Name, no table and column, type, its size and modifier, text format. */
function description({ name, dataTypeID }: { name: string; dataTypeID: number }): Buffer {
  const place = Buffer.alloc(6)
  return Buffer.concat([Buffer.from(`${name}\0`), place, int32(dataTypeID), int16(-1), int32(-1), int16(0)])
}

function value(text: string | null): Buffer {
  if (text === null) return int32(-1)
  const bytes = Buffer.from(text)
  return Buffer.concat([int32(bytes.length), bytes])
}
