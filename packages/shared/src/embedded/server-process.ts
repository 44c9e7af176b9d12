// The server process: launched, stopped, and stopped when a killed Reelqueue left the server behind.

import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { readFile, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { endAtExit, hintOf, watch } from './child-process.ts'
import { commandLine, processIdentity } from './folder-owner.ts'
import { type PostgresBinaries, spawnAs } from './postgres-binaries.ts'

/** Long, because Postgres replays its log after a crash. */
const START_TIMEOUT_MS = 300_000

const STOP_TIMEOUT_MS = 30_000

const PORT_TRIES = 5

/** A killed Postgres leaves child processes, and each keeps the shared memory until its statement ends. */
const SHARED_MEMORY_TIMEOUT_MS = 20_000

/** Stops the Postgres left running by a killed Reelqueue. A pid that now belongs to another process is discarded. */
export async function stopOrphan(database: string, log: (line: string) => void): Promise<void> {
  const pidFile = join(database, 'postmaster.pid')
  const pid = Number((await readFile(pidFile, 'utf8').catch(() => '')).split('\n')[0])
  if (!(pid > 0)) return
  if ((await processIdentity(pid)) === null) {
    // A killed process keeps its pid until its parent reaps the process, and Postgres would take the process for alive. Running children of
    // the killed Postgres are detected later, by their shared memory.
    if (process.platform !== 'win32') await rm(pidFile, { force: true })
    return
  }
  if (!(await commandLine(pid)).includes(`-D ${database} `)) {
    log(`postmaster.pid names process ${pid}, which is not this database's`)
    // Postgres would take that process for a running Postgres and refuse to start. Windows hides the arguments of a process.
    if (process.platform !== 'win32') await rm(pidFile)
    return
  }
  log(`stopping the postgres (pid ${pid}) that a killed Reelqueue left behind`)
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) {
    process.kill(pid, signal)
    const deadline = Date.now() + STOP_TIMEOUT_MS
    while (Date.now() < deadline) {
      if ((await processIdentity(pid)) === null) return
      await delay(20)
    }
  }
  throw new Error(`Postgres (pid ${pid}) of ${database} does not stop: end it, or set DATA_DIR to another folder.`)
}

export async function launch(
  { postgres }: PostgresBinaries,
  database: string,
  log: (line: string) => void,
  interrupt: AbortSignal,
): Promise<{ port: number; server: ChildProcess }> {
  const { uid, gid } = await stat(database)
  const user = process.getuid?.() === 0 ? { uid, gid } : null
  const sharedMemoryDeadline = Date.now() + SHARED_MEMORY_TIMEOUT_MS
  for (let attempt = 1; ; attempt++) {
    interrupt.throwIfAborted()
    const port = await freePort()
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'max_connections=200',
      'lc_messages=C',
      'timezone=UTC',
    ]
    const args = ['-D', database, '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])]
    const server = await spawnAs(user, postgres, args, [database])
    const remainAtExit = endAtExit(server, 'SIGINT')
    const tooLate = setTimeout(() => server.kill('SIGQUIT'), START_TIMEOUT_MS)
    const stop = () => server.kill('SIGINT')
    interrupt.addEventListener('abort', stop)
    if (interrupt.aborted) stop()
    const end = await watch(server, { until: 'database system is ready to accept connections', log })
    clearTimeout(tooLate)
    interrupt.removeEventListener('abort', stop)
    remainAtExit()
    if (end === null) return { port, server }
    interrupt.throwIfAborted()
    if (end.includes('pre-existing shared memory block')) {
      if (Date.now() < sharedMemoryDeadline) {
        log('processes of the postgres that was killed still run: waiting for them')
        attempt--
        await delay(200)
        continue
      }
      throw new Error(
        `Postgres does not start on ${database}: processes of an earlier Postgres on this folder still run. Start again in a minute, or end them.`,
      )
    }
    // Another process may take the free port before Postgres does.
    if (attempt < PORT_TRIES && end.includes('Address already in use')) continue
    throw new Error(
      `Postgres does not start on ${database}: ${end}.${hintOf(end)}\nIf the database is damaged, move it away (with all it holds), or set DATA_DIR to another folder.`,
    )
  }
}

export async function stopServer(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const exited = once(server, 'exit')
  server.kill('SIGINT')
  const tooLate = setTimeout(() => server.kill('SIGQUIT'), STOP_TIMEOUT_MS)
  await exited
  clearTimeout(tooLate)
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const address = probe.address()
  probe.close()
  await once(probe, 'close')
  if (address === null || typeof address === 'string') throw new Error('no TCP port')
  return address.port
}
