// A TCP relay between the app and a server: the relay can be cut, like a server that is down; can swallow everything, like a hanging
// server; and can be aimed at another server, like a host name after a failover. The server behind the relay is not touched.

import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'

export interface Address {
  readonly host: string
  readonly port: number
}

export interface Relay {
  readonly port: number
  /** Breaks every connection and refuses new connections. */
  cut(): Promise<void>
  /** Resets every connection, like a machine after a reboot; accepts new connections. */
  reset(): void
  /** Serves again, on the same port. */
  mend(): Promise<void>
  /** Sets the target of new connections; open connections keep their target. */
  aim(target: Address): void
  /** Keeps every connection open and accepts new connections, but forwards nothing any more. */
  swallow(): void
  /**
   * Swallows from the moment a client sends `word` (for the `times`-th time), and resolves then: the word arrives, and the answer is lost.
   */
  swallowAt(word: string, times?: number): Promise<void>
  /** Serves new connections again; swallowed connections stay open and dead, as if the machine had vanished. */
  serve(): void
}

export async function startRelay(target: Address): Promise<Relay> {
  const sockets = new Set<Socket>()
  let swallowing = false
  let last: { readonly word: string; left: number; readonly heard: () => void } | undefined
  let aimedAt = target

  function keep(socket: Socket, onEnd: () => void): void {
    sockets.add(socket)
    socket.on('error', onEnd)
    socket.on('close', () => {
      sockets.delete(socket)
      onEnd()
    })
  }
  const server = createServer((incoming) => {
    if (swallowing) {
      keep(incoming, () => incoming.destroy())
      incoming.resume()
      return
    }
    const outgoing = connect(aimedAt)
    incoming.on('data', (chunk) => {
      if (last && chunk.includes(last.word) && --last.left === 0) {
        swallow()
        last.heard()
        last = undefined
      }
    })
    for (const [from, to] of [
      [incoming, outgoing],
      [outgoing, incoming],
    ] as const) {
      keep(from, () => to.destroy())
      from.pipe(to)
    }
  })
  function swallow(): void {
    swallowing = true
    for (const socket of sockets) socket.unpipe().resume()
  }
  async function listen(port: number): Promise<number> {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no TCP port')
    return address.port
  }
  const port = await listen(0)
  return {
    port,
    async cut() {
      if (!server.listening) return
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
    reset() {
      for (const socket of sockets) socket.resetAndDestroy()
    },
    async mend() {
      await listen(port)
    },
    aim(next) {
      aimedAt = next
    },
    swallow,
    swallowAt: (word, times = 1) =>
      new Promise((heard) => {
        last = { word, left: times, heard }
      }),
    serve() {
      swallowing = false
    },
  }
}
