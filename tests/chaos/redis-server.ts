// A private Redis behind a relay, with its possible faults.

import { once } from 'node:events'
import { connect } from 'node:net'
import { startRedis } from '../support/redis.ts'
import { type Relay, startRelay } from '../support/relay.ts'

export interface RedisServer {
  readonly url: string
  readonly relay: Relay
  /** FLUSHALL: all data are deleted, every connection stays. */
  flush(): Promise<void>
  /** Crashes and comes back after `downMs`, with its data or empty. */
  crash(downMs: number, wipe: boolean): Promise<void>
  /** Neither answers nor breaks a connection, for a while. */
  pause(ms: number): Promise<void>
  close(): Promise<void>
}

export async function startRedisServer(): Promise<RedisServer> {
  const redis = await startRedis()
  const port = Number(new URL(redis.url).port)
  const relay = await startRelay({ host: '127.0.0.1', port })
  return {
    url: `redis://127.0.0.1:${relay.port}`,
    relay,
    async flush() {
      const socket = connect({ host: '127.0.0.1', port })
      socket.end('FLUSHALL\r\n')
      socket.resume()
      await once(socket, 'close')
    },
    async crash(downMs, wipe) {
      await redis.kill()
      await lasting(downMs)
      await redis.restart({ wipe })
    },
    async pause(ms) {
      process.kill(redis.pid, 'SIGSTOP')
      await lasting(ms)
      process.kill(redis.pid, 'SIGCONT')
    },
    async close() {
      await relay.cut()
      await redis.destroy()
    },
  }
}

/** The duration of a fault: the only place of a chaos run that waits for a fixed time. */
export function lasting(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
