// The embedded Postgres of `npm start` and `npm run demo`, and its files in DATA_DIR.

import { randomBytes } from 'node:crypto'
import { chmod, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import type { Config } from '@reelqueue/shared/runtime/config'
import type { Logger } from '@reelqueue/shared/runtime/log'
import { type Stops, UserError } from './command.ts'

/** The URL of the running database, for `npm run keys`; readable only by its owner, because the URL holds the password. */
const ADDRESS_FILE = 'postgres.url'

export interface Embedded {
  /** The configuration, completed by the database's URL and the key that seals secrets. */
  readonly config: Config
}

/**
 * Completes a configuration without `DATABASE_URL` by an embedded Postgres in `DATA_DIR`; leaves any other configuration unchanged. `stops`
 * can stop the Postgres from the first moment on.
 */
export async function embedUnlessConfigured(config: Config, log: Logger, stops: Stops): Promise<Embedded> {
  if (config.DATABASE_URL !== undefined) return { config }
  const dataDir = resolve(config.DATA_DIR)
  const addressFile = join(dataDir, ADDRESS_FILE)
  const starting = startExplained(dataDir, log, stops.stopping)
  stops.push(async () => {
    // A failed or interrupted start has left nothing running.
    const postgres = await starting.catch(() => null)
    if (postgres === null) return
    await rm(addressFile, { force: true })
    await postgres.stop()
  })
  const postgres = await starting
  stops.stopping.throwIfAborted()
  await writePrivate(addressFile, postgres.url)
  return {
    config: { ...config, DATABASE_URL: postgres.url, SECRET_KEY: config.SECRET_KEY ?? (await secretKeyOf(dataDir)) },
  }
}

/** Completes a configuration by the embedded Postgres of a running `npm start`, or by starting the Postgres temporarily. */
export async function joinEmbedded(config: Config, log: Logger, stops: Stops): Promise<Embedded> {
  const joined = await findEmbedded(config)
  return joined === null ? await embedUnlessConfigured(config, log, stops) : { config: joined }
}

/** Like `joinEmbedded`, but starts nothing: null when no embedded Postgres runs. A configuration with `DATABASE_URL` stays unchanged. */
export async function findEmbedded(config: Config): Promise<Config | null> {
  if (config.DATABASE_URL !== undefined) return config
  const dataDir = resolve(config.DATA_DIR)
  const address = await readIfThere(join(dataDir, ADDRESS_FILE))
  if (address === null || !(await isAnswering(address))) return null
  return { ...config, DATABASE_URL: address, SECRET_KEY: config.SECRET_KEY ?? (await secretKeyOf(dataDir)) }
}

/** Creates the folder. @throws UserError when the folder cannot be created */
export async function makeDataDir(dataDir: string): Promise<void> {
  try {
    await mkdir(dataDir, { recursive: true })
  } catch (error) {
    const cause = error instanceof Error ? error.message : String(error)
    throw new UserError(
      `The folder ${dataDir} cannot be made: ${cause}. Move away what is there, or set DATA_DIR to another folder.`,
    )
  }
}

async function startExplained(dataDir: string, log: Logger, stopping: AbortSignal) {
  await makeDataDir(dataDir)
  try {
    return await startEmbeddedPostgres({ dataDir, stopping, log: (line) => log.debug({ event: 'postgres.log', line }) })
  } catch (error) {
    const isFull = error instanceof Error && 'code' in error && error.code === 'ENOSPC'
    const remedy = isFull ? ': free some space, or set DATA_DIR to a folder on another disk.' : ''
    throw new UserError(`${error instanceof Error ? error.message : String(error)}${remedy}`)
  }
}

/** The key of this folder's secrets, made at the first start. */
async function secretKeyOf(dataDir: string): Promise<string> {
  const path = join(dataDir, 'secret.key')
  const stored = await readIfThere(path)
  if (stored !== null) return stored.trim()
  const key = randomBytes(32).toString('base64')
  await writePrivate(path, key)
  return key
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

async function writePrivate(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 })
  await chmod(path, 0o600)
}

/** Whether the database answers: a killed `npm start` leaves its URL file behind. */
async function isAnswering(url: string): Promise<boolean> {
  const { default: pg } = await import('pg')
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 })
  try {
    await client.connect()
    return true
  } catch {
    return false
  } finally {
    await client.end()
  }
}
