// The Postgres of `start`, `demo`, `test` and `bench` when DATABASE_URL is absent: durable settings, loopback only, in
// DATA_DIR/postgres. Postgres outlives a killed Reelqueue, because nothing can stop Postgres then; the next start on the folder stops
// the orphan first. Postgres must also survive Ctrl-C until stop(): the app still writes during its shutdown.
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { chown, mkdir, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as delay } from 'node:timers/promises'
import { claimOwnership, commandLine, processIdentity } from './folder-owner.ts'
import { findPostgres, newDatabaseUser, type PostgresBinaries, spawnAs } from './postgres-binaries.ts'

export interface EmbeddedPostgres {
  /** Connects as the superuser; contains the password. */
  readonly url: string
  /** Ends every connection and resolves when Postgres has ended (after about 40 s at most). Repeated calls are allowed. */
  stop(): Promise<void>
}

export interface EmbeddedPostgresOptions {
  /** Created when missing. Holds the database, its password (mode 0600) and the owner file. */
  readonly dataDir: string
  /** Replaces the Postgres installed by npm; for a folder without a database. */
  readonly binaries?: PostgresBinaries
  /** Receives Postgres's own log, line by line. */
  readonly log: (line: string) => void
  /** Interrupts the start: the start rejects after all its processes have ended. */
  readonly stopping?: AbortSignal
}

const MAJOR_VERSION = '18'
/** Long, because Postgres replays its log after a crash. */
const START_TIMEOUT_MS = 300_000
const STOP_TIMEOUT_MS = 30_000
const PORT_TRIES = 5
/** A killed Postgres leaves child processes, and each keeps the shared memory until its statement ends. */
const SHARED_MEMORY_TIMEOUT_MS = 20_000
/** Suffix of the name of an incomplete database. */
const DRAFT = '.new'
/** How many lines of Postgres's log an error quotes. */
const LAST_LINES = 8

/** The paths of one database. */
interface Folder {
  readonly database: string
  readonly passwordFile: string
  readonly ownerFile: string
}

/**
 * Starts the database of `dataDir`; the first start creates the database (about a second).
 * @throws Error with the fix: the folder is in use, has another version, is no database, or is damaged.
 */
export async function startEmbeddedPostgres({
  binaries: given,
  dataDir,
  log,
  stopping: interrupt = new AbortController().signal,
}: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const binaries = given ?? (await findPostgres())
  await mkdir(dataDir, { recursive: true })
  const root = await realpath(dataDir)
  const folder = {
    database: join(root, 'postgres'),
    passwordFile: join(root, 'postgres.password'),
    ownerFile: join(root, 'postgres.owner'),
  }
  const release = await claimOwnership(folder.ownerFile)
  if (typeof release === 'number') {
    throw new Error(`Another Reelqueue (pid ${release}) is using ${root}: stop it, or set DATA_DIR to another folder.`)
  }
  try {
    await stopOrphan(folder.database, log)
    interrupt.throwIfAborted()
    if (!(await databaseExists(folder.database))) await createDatabase(binaries, folder)
    const password = await readPassword(folder)
    const { port, server } = await launch(binaries, folder.database, log, interrupt)
    const remainAtExit = endAtExit(server, 'SIGINT')
    server.once('exit', (code, signal) => log(`postgres ended (${signal ?? code})`))
    let stopping: Promise<void> | undefined
    const stop = async () => {
      await stopServer(server)
      remainAtExit()
      await release()
    }
    return {
      url: `postgresql://reelqueue:${password}@127.0.0.1:${port}/postgres`,
      stop: () => {
        stopping ??= stop()
        return stopping
      },
    }
  } catch (error) {
    await release()
    throw error
  }
}

/** Stops the Postgres left running by a killed Reelqueue. A pid that now belongs to another process is discarded. */
async function stopOrphan(database: string, log: (line: string) => void): Promise<void> {
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

/** Whether the folder holds our database; an empty folder does not. Rejects when the folder holds anything different. */
async function databaseExists(database: string): Promise<boolean> {
  const found = await stat(database).catch(() => null)
  if (found === null) return false
  const self = process.getuid?.()
  if (self !== undefined && self !== 0 && found.uid !== self) {
    throw new Error(
      `${database} belongs to another user (uid ${found.uid}): run Reelqueue as that user, or set DATA_DIR to another folder.`,
    )
  }
  const remedy = 'Move it away (or delete it with all it holds), or set DATA_DIR to another folder.'
  if (!found.isDirectory()) throw new Error(`${database} is not a folder. ${remedy}`)
  if ((await readdir(database)).length === 0) return false
  const version = await readFile(join(database, 'PG_VERSION'), 'utf8').catch(() => null)
  if (version === null) throw new Error(`${database} is not a Postgres database. ${remedy}`)
  if (version.trim() !== MAJOR_VERSION) {
    throw new Error(
      `${database} is a database of Postgres ${version.trim()}, and this is Postgres ${MAJOR_VERSION}. ${remedy}`,
    )
  }
  return true
}

/** Builds the database under a draft name and renames the complete database, so that a kill never leaves a partial database. */
async function createDatabase({ initdb }: PostgresBinaries, folder: Folder): Promise<void> {
  const user = await newDatabaseUser()
  await removeDrafts(folder.database)
  // A unique name: the initdb of a killed start may still be writing to its draft.
  const draft = `${folder.database}${DRAFT}${randomBytes(4).toString('hex')}`
  await mkdir(draft, { mode: 0o700 })
  await rm(folder.passwordFile, { force: true })
  await writeFile(folder.passwordFile, randomBytes(24).toString('hex'), { mode: 0o600 })
  if (user) for (const path of [draft, folder.passwordFile]) await chown(path, user.uid, user.gid)
  const args = ['-D', draft, '--username=reelqueue', `--pwfile=${folder.passwordFile}`, '--auth=scram-sha-256']
  const child = await spawnAs(user, initdb, [...args, '--encoding=UTF8', '--locale=C'], [draft])
  const remainAtExit = endAtExit(child, 'SIGKILL')
  const end = await watch(child, { until: null, log: () => undefined })
  remainAtExit()
  if (end !== 'code 0') {
    await removeDrafts(folder.database)
    throw new Error(`Could not create a database in ${folder.database}: ${end}${hintOf(end)}`)
  }
  await rename(draft, folder.database)
}

/** The fix for a full disk, and for a folder open to root but closed to the user of Postgres. */
function hintOf(end: string | null): string {
  if (end?.includes('No space left on device')) {
    return '\nThe disk is full: free some space, or set DATA_DIR to a folder on another disk.'
  }
  if (end === null || process.getuid?.() !== 0 || !/setpriv|Permission denied/.test(end)) return ''
  return (
    '\nUnder root, Postgres runs as another user, who may not enter one of these folders: move Reelqueue and DATA_DIR to folders that ' +
    'others may enter, run Reelqueue as an ordinary user, or set DATABASE_URL.'
  )
}

/** Removes the partial databases of interrupted starts. */
async function removeDrafts(database: string): Promise<void> {
  const drafts = (await readdir(dirname(database))).filter((name) => name.startsWith(`${basename(database)}${DRAFT}`))
  for (const draft of drafts) {
    // An initdb still writing to the draft makes `rm` fail a few times.
    await rm(join(dirname(database), draft), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

async function readPassword({ passwordFile, database }: Folder): Promise<string> {
  return readFile(passwordFile, 'utf8').catch((cause) => {
    throw new Error(`${passwordFile}, the password of ${database}, cannot be read: put it back, or move both away.`, {
      cause,
    })
  })
}

async function launch(
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

/** Follows a process until a line contains `until` (resolves to null) or the process ends (resolves to its exit and last lines). */
async function watch(
  child: ChildProcess,
  { until, log }: { until: string | null; log: (line: string) => void },
): Promise<string | null> {
  const lastLines: string[] = []
  return new Promise((resolve) => {
    if (child.stderr) {
      createInterface(child.stderr).on('line', (line) => {
        log(line)
        lastLines.push(line)
        if (lastLines.length > LAST_LINES) lastLines.shift()
        if (until !== null && line.includes(until)) resolve(null)
      })
    }
    child.once('error', (error) => resolve(`${child.spawnfile} cannot run here (${error.message}); set DATABASE_URL`))
    child.once('close', (code, signal) => {
      const how = signal ?? `code ${code}`
      resolve(code === 0 ? how : [how, ...lastLines].join('\n  '))
    })
  })
}

/** Ends a child together with our process, except after SIGKILL of our process. @returns a function that cancels this */
function endAtExit(child: ChildProcess, signal: NodeJS.Signals): () => void {
  // SIGKILL is for initdb, which has child processes: the signal goes to the whole process group (`spawnAs` makes one for each child).
  const end = () => {
    if (child.exitCode !== null || child.signalCode !== null) return
    if (signal === 'SIGKILL' && child.pid !== undefined && process.platform !== 'win32') {
      try {
        process.kill(-child.pid, signal)
      } catch {
        // The group has already ended.
      }
    } else child.kill(signal)
  }
  process.once('exit', end)
  return () => process.removeListener('exit', end)
}

async function stopServer(server: ChildProcess): Promise<void> {
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
