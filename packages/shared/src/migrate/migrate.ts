// Brings a database up to prisma/migrations, and lists the pending migrations. The history is Prisma's own
// (`_prisma_migrations`, under Prisma's own advisory lock), so `prisma migrate` agrees with the history.
// A migration must not contain BEGIN, COMMIT or CONCURRENTLY: each migration runs as one transaction, so a migration
// that a killed process left unfinished can simply be applied again.
import { fileURLToPath } from 'node:url'
import type { HistoryDiagnostic, SchemaEngine } from '@prisma/schema-engine-wasm'
import type pg from 'pg'
import { shareBackends } from '../doctor/pooler.ts'
import { missingRight, type ServerFacts, serverFinding } from '../doctor/postgres-findings.ts'
import { readFacts } from '../doctor/postgres-inspection.ts'
import { connect, DatabaseError, describe } from '../store/connect.ts'
import { type PrismaFiles, readPrismaFiles, startSchemaEngine } from './schema-engine.ts'

export interface PrismaFolder {
  /** The folder with schema.prisma and migrations/. Default: the folder of the repository. */
  readonly prismaDir?: string
  /** Called with one sentence when another process holds the lock; the sentence names the longest wait. */
  readonly onWait?: (sentence: string) => void
}

const PRISMA_DIR = fileURLToPath(new URL('../../../../prisma', import.meta.url))
const NOTHING_EXCLUDED = { externalTables: [], externalEnums: [] }
/** The key of Prisma's advisory lock. */
const ADVISORY_LOCK_KEY = 72707369
const CONNECT_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 300_000

/**
 * Applies the pending migrations in order, and returns their names. Safe at any time and from any number of processes
 * at once: one process applies, the rest wait (at most five minutes).
 * @throws DatabaseError when the database cannot be reached, a migration fails, or the history does not match the code.
 */
export async function migrate(
  databaseUrl: string,
  { prismaDir = PRISMA_DIR, onWait }: PrismaFolder = {},
): Promise<{ applied: string[] }> {
  const lock: Lock = { kind: 'exclusive', timeoutMs: LOCK_TIMEOUT_MS, onWait }
  return withDatabase(databaseUrl, prismaDir, lock, async ({ engine, files, client, refusedBy, location, facts }) => {
    const { interrupted, pending } = await inspect(engine, files, client, location)
    const missing = missingRight(facts)
    if (pending.length > 0 && missing !== null)
      throw new DatabaseError(`Cannot migrate ${location}: ${missing.detail}. ${missing.fix}`)
    for (const migrationName of interrupted) await engine.markMigrationRolledBack({ migrationName })
    try {
      const input = { migrationsList: files.migrations, filters: NOTHING_EXCLUDED }
      return { applied: (await engine.applyMigrations(input)).appliedMigrationNames }
    } catch (cause) {
      // The lost connection itself may be the cause.
      const begun = await unfinished(client).catch(() => [])
      const failed = begun.find((row) => row.failed)?.name
      if (failed === undefined) throw new DatabaseError(refusal(cause, location), { cause })
      throw new DatabaseError(
        `Migration ${failed} failed on ${location} and changed nothing: ${describe(refusedBy() ?? cause)}. ${howToRetry(failed)}`,
        { cause: refusedBy() ?? cause },
      )
    }
  })
}

/**
 * The names of the pending migrations, oldest first. Waits for a running migration, at most `lockTimeoutMs` (default:
 * five minutes).
 * @throws DatabaseError like `migrate`, and when an applied migration was edited or a migration has failed.
 */
export async function pendingMigrations(
  databaseUrl: string,
  {
    prismaDir = PRISMA_DIR,
    lockTimeoutMs = LOCK_TIMEOUT_MS,
    onWait,
  }: PrismaFolder & { readonly lockTimeoutMs?: number } = {},
): Promise<string[]> {
  return withDatabase(
    databaseUrl,
    prismaDir,
    { kind: 'shared', timeoutMs: lockTimeoutMs, onWait },
    async ({ engine, files, client, location }) => {
      const { pending } = await inspect(engine, files, client, location)
      return pending
    },
  )
}

/**
 * The SQL that would turn the live database into schema.prisma; empty when the two agree. Objects outside Prisma's
 * language (partial indexes, check constraints, functions) are not compared.
 * @throws DatabaseError when the database cannot be reached.
 */
export async function schemaDrift(databaseUrl: string, { prismaDir = PRISMA_DIR }: PrismaFolder = {}): Promise<string> {
  return withDatabase(databaseUrl, prismaDir, SHARED, async ({ engine, files }) => {
    const { stdout } = await engine.diff({
      from: { tag: 'schemaDatasource', ...files.schema, configDir: prismaDir },
      to: { tag: 'schemaDatamodel', ...files.schema },
      script: true,
      exitCode: null,
      filters: NOTHING_EXCLUDED,
    })
    const script = stdout ?? ''
    return script.startsWith('-- This is an empty migration.') ? '' : script
  })
}

interface Lock {
  readonly kind: 'shared' | 'exclusive'
  readonly timeoutMs: number
  readonly onWait: PrismaFolder['onWait']
}

const SHARED: Lock = { kind: 'shared', timeoutMs: LOCK_TIMEOUT_MS, onWait: undefined }

interface Session {
  readonly engine: SchemaEngine
  readonly files: PrismaFiles
  readonly client: pg.Client
  /** The last error of Postgres. */
  readonly refusedBy: () => unknown
  /** host:port/database */
  readonly location: string
  readonly facts: ServerFacts
}

/** Runs `work` on one connection that holds Prisma's lock from beginning to end. */
async function withDatabase<T>(
  databaseUrl: string,
  prismaDir: string,
  lock: Lock,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const files = await readPrismaFiles(prismaDir)
  const { client, location, brokenBy } = await connect(databaseUrl, {
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'reelqueue migrate',
  })
  let refusedBy: unknown
  try {
    const facts = await refuseUnsupported(databaseUrl, client, location)
    await takeLock(client, lock, location)
    const engine = await startSchemaEngine(client, files.schema, (error) => {
      refusedBy = error
    })
    try {
      return await work({ engine, files, client, refusedBy: () => brokenBy() ?? refusedBy, location, facts })
    } finally {
      engine.free()
    }
  } finally {
    await client.end()
  }
}

/**
 * Runs before the lock is taken: behind a pooler in transaction mode, the lock would stay with a server process that
 * other clients use next.
 */
async function refuseUnsupported(databaseUrl: string, client: pg.Client, location: string): Promise<ServerFacts> {
  const other = await connect(databaseUrl, { connectionTimeoutMillis: CONNECT_TIMEOUT_MS })
  try {
    const facts = { ...(await readFacts(client)), sharesBackends: await shareBackends(client, other.client) }
    const { level, detail, fix } = serverFinding(facts)
    if (level === 'wrong') throw new DatabaseError(`Cannot use ${location}: ${detail}. ${fix}`)
    return facts
  } finally {
    await other.client.end()
  }
}

async function takeLock(client: pg.Client, { kind, timeoutMs, onWait }: Lock, location: string): Promise<void> {
  const shared = kind === 'shared' ? '_shared' : ''
  const { rows } = await client.query<{ taken: boolean }>(
    `SELECT pg_try_advisory_lock${shared}(${ADVISORY_LOCK_KEY}) AS taken`,
  )
  if (rows[0]?.taken) return
  onWait?.(`Waiting for another migration of ${location}, at most ${Math.ceil(timeoutMs / 1_000)} s …`)
  await client.query(`SET lock_timeout = ${timeoutMs}`)
  await client.query(`SELECT pg_advisory_lock${shared}(${ADVISORY_LOCK_KEY})`).catch((cause: unknown) => {
    throw new DatabaseError(`Another process seems to be migrating ${location}: ${describe(cause)}`, { cause })
  })
  await client.query('SET lock_timeout = 0')
}

/** Sorts the history: migrations to apply, and migrations begun by a killed process. Any other state is an error. */
async function inspect(engine: SchemaEngine, files: PrismaFiles, client: pg.Client, location: string) {
  const state = await engine.diagnoseMigrationHistory({
    migrationsList: files.migrations,
    optInToShadowDatabase: false,
    filters: NOTHING_EXCLUDED,
  })
  const begun = state.hasMigrationsTable ? await unfinished(client) : []
  const failed = begun.find((row) => row.failed)
  if (failed)
    throw new DatabaseError(`Migration ${failed.name} failed earlier on ${location}. ${howToRetry(failed.name)}`)
  const unknown = state.history === null ? [] : appliedButMissing(state.history)
  if (unknown.length > 0) {
    throw new DatabaseError(
      `The database ${location} is newer than this version of Reelqueue: it has ${unknown.join(', ')}, which the code does not. ` +
        'Run the version that migrated it, or a later one.',
    )
  }
  const interrupted = begun.map((row) => row.name)
  const edited = state.editedMigrationNames.find((name) => !interrupted.includes(name))
  if (edited !== undefined) {
    throw new DatabaseError(
      `Migration ${edited} was changed after it had been applied to ${location}. Restore its file; put changes into a new migration.`,
    )
  }
  const unapplied = state.history === null ? [] : neverApplied(state.history)
  return { interrupted, pending: [...new Set([...interrupted, ...unapplied])].sort() }
}

/**
 * Migrations that were begun, and neither finished nor rolled back. A `failed` migration has a log; a killed process
 * leaves no log.
 */
async function unfinished(client: pg.Client): Promise<{ name: string; failed: boolean }[]> {
  const { rows } = await client.query<{ name: string; failed: boolean }>(
    `SELECT migration_name AS name, logs IS NOT NULL AS failed FROM _prisma_migrations
     WHERE finished_at IS NULL AND rolled_back_at IS NULL ORDER BY started_at`,
  )
  return rows
}

function appliedButMissing(history: HistoryDiagnostic): string[] {
  return history.diagnostic === 'databaseIsBehind' ? [] : history.unpersistedMigrationNames
}

function neverApplied(history: HistoryDiagnostic): string[] {
  return history.diagnostic === 'migrationsDirectoryIsBehind' ? [] : history.unappliedMigrationNames
}

function howToRetry(name: string): string {
  return `Correct what it ran into, mark it with "npx prisma migrate resolve --rolled-back ${name}" and migrate again.`
}

function refusal(cause: unknown, location: string): string {
  if (cause instanceof Error && 'code' in cause && cause.code === 'P3005') {
    return `The database ${location} already holds tables that are not Reelqueue's: give Reelqueue a database of its own.`
  }
  return `Could not migrate ${location}: ${describe(cause)}`
}
