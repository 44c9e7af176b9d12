// A private Redis for a test: the machine's `redis-server` on a free port in a fresh folder, with the settings required by Reelqueue. The
// port stays the same over restarts, and the server is ended by its recorded pid, never by name.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'

export interface TestRedis {
  readonly url: string
  /** The pid of the present process: changes with each restart. */
  readonly pid: number
  /** Shuts down in order; the data stay for `restart`. */
  stop(): Promise<void>
  /** Ends the server immediately, like a crash. */
  kill(): Promise<void>
  /** Starts the server again on the same port, after stopping a running server. `wipe` deletes all data first. */
  restart(options?: { wipe?: boolean }): Promise<void>
  /** Sends one command, its words separated by spaces, on a new connection. @returns the raw reply */
  run(command: string): Promise<string>
  /** Stops the server for good and removes its folder. */
  destroy(): Promise<void>
}

/** Settings of redis.conf changed by a test, by name. */
export type RedisSettings = Readonly<Record<string, string | readonly string[]>>

/** @throws Error saying how to install Redis when `redis-server` is missing. */
export async function startRedis(settings: RedisSettings = {}): Promise<TestRedis> {
  const port = await freePort()
  let folder = await mkdtemp(join(tmpdir(), 'reelqueue-redis-'))
  let server = await launch(port, folder, settings).catch(async (error: unknown) => {
    await rm(folder, { recursive: true })
    throw error
  })
  const killAtExit = () => server.kill('SIGKILL')
  process.once('exit', killAtExit)

  async function end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (server.exitCode !== null || server.signalCode !== null) return
    const exited = once(server, 'exit')
    server.kill(signal)
    await exited
  }
  return {
    url: `redis://127.0.0.1:${port}`,
    get pid() {
      return pidOf(server)
    },
    stop: () => end('SIGTERM'),
    kill: () => end('SIGKILL'),
    restart: async ({ wipe = false } = {}) => {
      await end('SIGTERM')
      if (wipe) {
        await rm(folder, { recursive: true })
        folder = await mkdtemp(join(tmpdir(), 'reelqueue-redis-'))
      }
      server = await launch(port, folder, settings)
    },
    run: (command) => ask(port, command),
    destroy: async () => {
      await end('SIGKILL')
      process.removeListener('exit', killAtExit)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

async function ask(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  socket.write(`${command}\r\nQUIT\r\n`)
  return (await text(socket)).replace(/\+OK\r\n$/, '')
}

async function launch(port: number, folder: string, changed: RedisSettings): Promise<ChildProcess> {
  const settings = {
    bind: '127.0.0.1',
    port,
    dir: folder,
    save: '',
    appendonly: 'yes',
    'maxmemory-policy': 'noeviction',
    ...changed,
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, ...[value].flat().map(String)])
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'ignore'] })
  const lines: string[] = []
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new Error(INSTALL_HINT, { cause })))
    server.once('exit', (code) => reject(new Error(`redis-server ended (${code}): ${lines.join('\n')}`)))
    createInterface(server.stdout).on('line', (line) => {
      lines.push(line)
      if (line.includes('Ready to accept connections')) resolve()
    })
  })
  return server
}

const INSTALL_HINT =
  'This test needs redis-server: install it (Debian: apt-get install redis-server, macOS: brew install redis).'

function pidOf(server: ChildProcess): number {
  if (server.pid === undefined) throw new Error('redis-server was never started')
  return server.pid
}

/** A free port chosen by the system. */
export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return address.port
}
