// The folder of the database: whether the folder holds one, and how one is created.

import { randomBytes } from 'node:crypto'
import { chown, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { endAtExit, hintOf, watch } from './child-process.ts'
import { newDatabaseUser, type PostgresBinaries, spawnAs } from './postgres-binaries.ts'

const MAJOR_VERSION = '18'

/** Suffix of the name of an incomplete database. */
const DRAFT = '.new'

/** The paths of one database. */
interface Folder {
  readonly database: string
  readonly passwordFile: string
  readonly ownerFile: string
}

/** Whether the folder holds our database; an empty folder does not. Rejects when the folder holds anything different. */
export async function databaseExists(database: string): Promise<boolean> {
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
export async function createDatabase({ initdb }: PostgresBinaries, folder: Folder): Promise<void> {
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

/** Removes the partial databases of interrupted starts. */
async function removeDrafts(database: string): Promise<void> {
  const drafts = (await readdir(dirname(database))).filter((name) => name.startsWith(`${basename(database)}${DRAFT}`))
  for (const draft of drafts) {
    // An initdb still writing to the draft makes `rm` fail a few times.
    await rm(join(dirname(database), draft), { recursive: true, force: true, maxRetries: 10, retryDelay: 100 })
  }
}

export async function readPassword({ passwordFile, database }: Folder): Promise<string> {
  return readFile(passwordFile, 'utf8').catch((cause) => {
    throw new Error(`${passwordFile}, the password of ${database}, cannot be read: put it back, or move both away.`, {
      cause,
    })
  })
}
