// The Postgres of `start`, `demo`, `test` and `bench` when DATABASE_URL is absent: durable settings, loopback only, in
// DATA_DIR/postgres. Postgres outlives a killed Reelqueue, because nothing can stop Postgres then; the next start on the folder stops
// the orphan first. Postgres must also survive Ctrl-C until stop(): the app still writes during its shutdown.

import { mkdir, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { endAtExit } from './child-process.ts'
import { createDatabase, databaseExists, readPassword } from './database-folder.ts'
import { claimOwnership } from './folder-owner.ts'
import { findPostgres, type PostgresBinaries } from './postgres-binaries.ts'
import { launch, stopOrphan, stopServer } from './server-process.ts'

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
