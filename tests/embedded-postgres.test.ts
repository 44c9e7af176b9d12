import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmod, chown, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type EmbeddedPostgres, startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import { processIdentity } from '@reelqueue/shared/embedded/folder-owner'
import { newDatabaseUser, spawnAs } from '@reelqueue/shared/embedded/postgres-binaries'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runSql } from './support/database.ts'
import { until } from './support/wait.ts'

const REPOSITORY = fileURLToPath(new URL('..', import.meta.url))
const STOP_ON_SIGTERM = "process.on('SIGTERM', () => postgres.stop())"
const runsAsRoot = process.getuid?.() === 0

let folder: string
let dataDir: string
let started: EmbeddedPostgres[]

beforeEach(async () => {
  // Private, as mktemp creates a folder, and with a path too long for a Unix socket.
  folder = await mkdtemp(join(tmpdir(), 'reelqueue-embedded-'))
  dataDir = join(folder, 'a folder with a long name '.repeat(5).trim(), 'data')
  started = []
})

afterEach(async () => {
  for (const postgres of started) await postgres.stop()
  const left = await postmasterPid().catch(() => null)
  expect(left === null ? null : await processIdentity(left), 'a Postgres was left running').toBeNull()
  await rm(folder, { recursive: true })
})

test('the first start makes a durable database that only this machine reaches, and stop leaves no process', async () => {
  const { url, stop } = await start()
  const settings = ['fsync', 'full_page_writes', 'synchronous_commit', 'listen_addresses', 'unix_socket_directories']
  const list = [...settings, 'max_connections', 'server_encoding', 'lc_messages'].map(
    (name) => `current_setting('${name}') AS ${name}`,
  )
  expect(await runSql(url, `SELECT ${list}, current_user AS me`)).toEqual([
    {
      fsync: 'on',
      full_page_writes: 'on',
      synchronous_commit: 'on',
      listen_addresses: '127.0.0.1',
      unix_socket_directories: '',
      max_connections: '200',
      server_encoding: 'UTF8',
      lc_messages: 'C',
      me: 'reelqueue',
    },
  ])
  expect((await stat(join(dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600)
  await expect(runSql(url.replace(/:[0-9a-f]+@/, ':wrong@'), 'SELECT 1')).rejects.toThrow('password')
  const pid = await postmasterPid()
  await stop()
  expect(await processIdentity(pid)).toBeNull()
})

test('a restart keeps data and password', async () => {
  const first = await start()
  await runSql(first.url, 'CREATE TABLE kept AS SELECT 7 AS n')
  await first.stop()
  const second = await start()
  expect(await runSql(second.url, 'SELECT n FROM kept')).toEqual([{ n: 7 }])
  expect(new URL(second.url).password).toBe(new URL(first.url).password)
})

test('starts after Postgres itself was killed', async () => {
  const first = await start()
  await runSql(first.url, 'CREATE TABLE kept AS SELECT 7 AS n')
  process.kill(await postmasterPid(), 'SIGKILL')
  await first.stop()
  const second = await start()
  expect(await runSql(second.url, 'SELECT n FROM kept')).toEqual([{ n: 7 }])
})

test('starts after a crash whose pids other processes wear by now', async () => {
  await (await start()).stop()
  const database = join(dataDir, 'postgres')
  // Postgres ignores a recorded pid of its parent or of another user; only a pid of the same user prevents the start.
  const { uid, gid } = await stat(database)
  const stranger = spawn(
    process.execPath,
    ['--eval', 'setInterval(() => {}, 1e9)'],
    runsAsRoot ? { uid, gid, cwd: '/' } : {},
  )
  await once(stranger, 'spawn')
  await writeFile(join(database, 'postmaster.pid'), `${stranger.pid}\n${database}\n`)
  await chown(join(database, 'postmaster.pid'), uid, gid)
  await writeFile(join(dataDir, 'postgres.owner'), JSON.stringify({ pid: process.ppid, identity: 'long ago' }))
  const { url } = await start()
  expect(await runSql(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
  expect(stranger.kill('SIGKILL')).toBe(true)
})

test.runIf(process.platform === 'linux')(
  'starts after a crash of a Postgres whose end nobody has waited for: its pid still answers',
  async () => {
    await (await start()).stop()
    const database = join(dataDir, 'postgres')
    const { uid, gid } = await stat(database)
    // `sleep` replaces the shell, and never reaps its child.
    const careless = spawn('sh', ['-c', 'sleep 600 & echo $!; exec sleep 600'], {
      ...(runsAsRoot && { uid, gid }),
      cwd: '/',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    const [pid] = await once(createInterface(careless.stdout), 'line')
    const program = () => readFile(`/proc/${careless.pid}/cmdline`, 'utf8')
    await until('the shell is gone', async () => (await program()).startsWith('sleep'))
    process.kill(Number(pid), 'SIGKILL')
    await until('it has ended', async () => (await processIdentity(Number(pid))) === null)
    expect(process.kill(Number(pid), 0)).toBe(true)
    await writeFile(join(database, 'postmaster.pid'), `${pid}\n${database}\n`)
    await chown(join(database, 'postmaster.pid'), uid, gid)
    const { url } = await start()
    expect(await runSql(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
    careless.kill('SIGKILL')
  },
)

test('the next start stops the Postgres that a killed Reelqueue left behind, and keeps its data', async () => {
  const app = await startInAnotherProcess()
  await runSql(app.url, 'CREATE TABLE kept AS SELECT 7 AS n')
  const orphan = await postmasterPid()
  app.child.kill('SIGKILL')
  await once(app.child, 'exit')
  expect(await processIdentity(orphan)).not.toBeNull()
  const { url } = await start()
  expect(await processIdentity(orphan)).toBeNull()
  expect(await runSql(url, 'SELECT n FROM kept')).toEqual([{ n: 7 }])
})

test('a second Reelqueue on the folder is refused by name and pid, and disturbs nothing', async () => {
  const app = await startInAnotherProcess(STOP_ON_SIGTERM)
  await expect(start()).rejects.toThrow(
    `Another Reelqueue (pid ${app.child.pid}) is using ${dataDir}: stop it, or set DATA_DIR to another folder.`,
  )
  expect(await runSql(app.url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
  app.child.kill('SIGTERM')
  await once(app.child, 'exit')
})

test('of several starts at once exactly one gets the folder', async () => {
  const outcomes = await Promise.allSettled([start(), start(), start()])
  expect(outcomes.filter((outcome) => outcome.status === 'fulfilled')).toHaveLength(1)
})

test('Ctrl-C in the terminal leaves Postgres to the application, which can still write', async () => {
  const app = await startInAnotherProcess(`
    process.on('SIGINT', async () => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      await runSql(postgres.url, 'CREATE TABLE last_words ()')
      await postgres.stop()
      process.exit(7)
    })`)
  // The child leads a process group: a terminal signals the whole group.
  process.kill(-(app.child.pid ?? Number.NaN), 'SIGINT')
  const [code] = await once(app.child, 'exit')
  expect(code).toBe(7)
  const { url } = await start()
  expect(await runSql(url, 'SELECT FROM last_words')).toEqual([])
})

test('waits for a process of the killed Postgres that still works', async () => {
  const app = await startInAnotherProcess()
  const busy = `DO $$ BEGIN WHILE clock_timestamp() < now() + interval '2 s' LOOP END LOOP; END $$`
  const client = new pg.Client(app.url)
  client.on('error', () => undefined)
  await client.connect()
  const working = client.query(busy).catch(() => undefined)
  await until(
    'it works',
    async () => (await runSql(app.url, `SELECT FROM pg_stat_activity WHERE query LIKE 'DO %'`)).length > 0,
  )
  // Listen before any other await: the child may end at once.
  const ended = once(app.child, 'exit')
  app.child.kill('SIGKILL')
  process.kill(await postmasterPid(), 'SIGKILL')
  await ended
  const { url } = await start()
  expect(await runSql(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
  await working
})

test('a start that is interrupted rejects, leaves nothing running, and the next one works', async () => {
  for (const file of ['postgres.owner', 'postgres.password', 'postgres/PG_VERSION']) {
    const interrupt = new AbortController()
    const starting = startEmbeddedPostgres({ dataDir, log: () => undefined, stopping: interrupt.signal })
    await until(`${file} is there`, () => stat(join(dataDir, file)))
    interrupt.abort(new Error('interrupted'))
    await expect(starting).rejects.toThrow('interrupted')
    await expect(postmasterPid()).rejects.toThrow('ENOENT')
  }
  expect(await runSql((await start()).url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
  expect((await readdir(dataDir)).sort()).toEqual(['postgres', 'postgres.owner', 'postgres.password'])
})

test.runIf(runsAsRoot)(
  'the user of the database may check, not only open, what lies below a closed folder',
  async () => {
    const file = join(folder, 'program')
    await writeFile(file, '', { mode: 0o755 })
    // Like initdb with its own binaries.
    const words = ['--eval', 'fs.accessSync(process.argv[1], fs.constants.R_OK)', file]
    const child = await spawnAs(await newDatabaseUser(), process.execPath, words, [file])
    expect(await once(child, 'exit')).toEqual([0, null])
  },
)

test('a process that exits without stopping takes Postgres with it', async () => {
  const app = await startInAnotherProcess("process.on('SIGTERM', () => process.exit(0))")
  const pid = await postmasterPid()
  app.child.kill('SIGTERM')
  await until('postgres is gone', async () => (await processIdentity(pid)) === null)
})

test('something else in the place of the database is named, with what to do, and left alone', async () => {
  const database = join(dataDir, 'postgres')
  await mkdir(database, { recursive: true })
  await writeFile(join(database, 'diary.txt'), 'mine')
  await expect(start()).rejects.toThrow(`${database} is not a Postgres database. Move it away`)
  await writeFile(join(database, 'PG_VERSION'), '15\n')
  await expect(start()).rejects.toThrow(
    `${database} is a database of Postgres 15, and this is Postgres 18. Move it away`,
  )
  expect(await readFile(join(database, 'diary.txt'), 'utf8')).toBe('mine')
})

test('a damaged database is named, with what Postgres says of it', async () => {
  await (await start()).stop()
  await rm(join(dataDir, 'postgres', 'global', 'pg_control'))
  await expect(start()).rejects.toThrow(/does not start on .*pg_control.*move it away/s)
})

test('a disk that is full is named, with what to do', async () => {
  const initdb = join(folder, 'initdb')
  await writeFile(initdb, '#!/bin/sh\necho "FATAL: could not extend file: No space left on device" >&2\nexit 1\n', {
    mode: 0o755,
  })
  const starting = startEmbeddedPostgres({ dataDir, binaries: { initdb, postgres: initdb }, log: () => undefined })
  await expect(starting).rejects.toThrow(/No space left.*The disk is full: free some space, or set DATA_DIR/s)
})

test('a first start that was interrupted begins again', async () => {
  await mkdir(join(dataDir, 'postgres.new'), { recursive: true })
  await writeFile(join(dataDir, 'postgres.new', 'half'), '')
  await writeFile(join(dataDir, 'postgres.password'), 'old', { mode: 0o600 })
  const { url } = await start()
  expect(await runSql(url, 'SELECT 1 AS n')).toEqual([{ n: 1 }])
})

test.runIf(runsAsRoot)('runs as an ordinary user too, and root later carries on with that user', async () => {
  const nobody = 65534
  await chmod(folder, 0o755)
  await mkdir(dataDir, { recursive: true })
  await chown(dataDir, nobody, nobody)
  const app = await startInAnotherProcess(STOP_ON_SIGTERM, { uid: nobody, gid: nobody })
  await runSql(app.url, 'CREATE TABLE kept AS SELECT 7 AS n')
  app.child.kill('SIGTERM')
  await once(app.child, 'exit')
  const { url } = await start()
  expect(await runSql(url, 'SELECT n FROM kept')).toEqual([{ n: 7 }])
  expect((await stat(join(dataDir, 'postgres', 'postmaster.pid'))).uid).toBe(nobody)
})

async function start(): Promise<EmbeddedPostgres> {
  const postgres = await startEmbeddedPostgres({ dataDir, log: () => undefined })
  started.push(postgres)
  return postgres
}

/** Starts Postgres in a child that leads a process group; `more` is code that may use `postgres` and `runSql`. */
async function startInAnotherProcess(
  more = '',
  user: { uid?: number; gid?: number } = {},
): Promise<{ child: ChildProcess; url: string }> {
  const code = `
    import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
    import pg from 'pg'
    async function runSql(url, sql) {
      const client = new pg.Client(url)
      await client.connect()
      await client.query(sql)
      await client.end()
    }
    const postgres = await startEmbeddedPostgres({ dataDir: process.argv[1], log: () => undefined })
    ${more}
    console.log(postgres.url)`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '--eval', code, dataDir], {
    cwd: REPOSITORY,
    detached: true,
    stdio: ['ignore', 'pipe', 'inherit'],
    ...user,
  })
  const [url] = await Promise.race([
    once(createInterface(child.stdout), 'line'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`ended early (${code})`))),
  ])
  return { child, url }
}

async function postmasterPid(): Promise<number> {
  return Number((await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0])
}
