// Prisma's schema engine, run as WebAssembly over one pg connection: the native binary of `prisma migrate` is a
// download, the WebAssembly comes with npm. This file closes two gaps of @prisma/adapter-pg 7.10: the adapter cuts
// scripts at every `;` (also inside comments and function bodies, and without a transaction), and cannot read "char"
// columns.
import { readdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { PrismaPg } from '@prisma/adapter-pg'
import { bindMigrationAwareSqlAdapterFactory, ColumnTypeEnum } from '@prisma/driver-adapter-utils'
import type { MigrationList, SchemasContainer } from '@prisma/schema-engine-wasm'
import * as bindings from '@prisma/schema-engine-wasm/schema_engine_bg'
import pg from 'pg'

/** The contents of the prisma folder, in the form of the engine. */
export interface PrismaFiles {
  readonly schema: SchemasContainer
  readonly migrations: MigrationList
}

/** Reads schema.prisma and every migration, in the order of their names. Rejects when a migration lacks its SQL. */
export async function readPrismaFiles(prismaDir: string): Promise<PrismaFiles> {
  const baseDir = join(prismaDir, 'migrations')
  const entries = await readdir(baseDir, { withFileTypes: true })
  const names = entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort()
  const migrationDirectories = await Promise.all(
    names.map(async (path) => {
      const value = await readFile(join(baseDir, path, 'migration.sql'), 'utf8')
      return { path, migrationFile: { path: 'migration.sql', content: { tag: 'ok' as const, value } } }
    }),
  )
  const lockfile = {
    path: 'migration_lock.toml',
    content: await readFile(join(baseDir, 'migration_lock.toml'), 'utf8'),
  }
  const content = await readFile(join(prismaDir, 'schema.prisma'), 'utf8')
  return {
    schema: { files: [{ path: 'schema.prisma', content }] },
    migrations: { baseDir, lockfile, shadowDbInitScript: '', migrationDirectories },
  }
}

/**
 * Starts an engine that works only over `client`, because the advisory lock belongs to this connection. The caller
 * frees the engine and ends the client. `onQueryError` gets the original error of Postgres; the engine keeps only a
 * paraphrase.
 */
export async function startSchemaEngine(
  client: pg.Client,
  schema: SchemasContainer,
  onQueryError: (error: unknown) => void,
): Promise<bindings.SchemaEngine> {
  await loadWebAssembly()
  return bindings.SchemaEngine.new(
    { datamodels: schema.files.map((file) => [file.path, file.content]) },
    () => undefined,
    bindMigrationAwareSqlAdapterFactory(new EngineAdapter(client, onQueryError)),
  )
}

const CHAR_OID = 18
/** Because of the lock, only one migration is unfinished. The engine writes the same mark afterwards. */
const MARK_FINISHED =
  'UPDATE "_prisma_migrations" SET "finished_at" = now() WHERE "finished_at" IS NULL AND "rolled_back_at" IS NULL'

class EngineAdapter extends PrismaPg {
  /** The "char" columns of the last query; one connection runs one query at a time. */
  private readonly charColumns = new Set<number>()

  constructor(client: pg.Client, onQueryError: (error: unknown) => void) {
    // The adapter requires a pool. This pool never connects: a real pool would drop its connection, and the lock, after
    // every refused query (such as the engine's look for its table in an empty database).
    const pool = new pg.Pool()
    super(pool)
    pool.query = (async (config: pg.QueryArrayConfig) => {
      const result = await client.query(config).catch((error: unknown) => {
        onQueryError(error)
        throw error
      })
      this.passOffChars(result)
      return result
    }) as typeof pool.query
  }

  override async connect() {
    const adapter = await super.connect()
    // INVARIANT: a script is one simple query, so one transaction: the script and its mark in the history are committed
    // together or not at all. A process killed between the two would leave a migration that cannot be applied.
    adapter.executeScript = async (script) => {
      await adapter.executeRaw({ sql: `${script}\n;\n${MARK_FINISHED}`, args: [], argTypes: [] })
    }
    const queryRaw = adapter.queryRaw.bind(adapter)
    adapter.queryRaw = async (request) => {
      const result = await queryRaw(request)
      for (const index of this.charColumns) result.columnTypes[index] = ColumnTypeEnum.Character
      return result
    }
    return adapter
  }

  /** The adapter rejects "char" columns, but the engine needs these columns, marked as characters (see queryRaw). */
  private passOffChars(result: Partial<pg.QueryArrayResult>): void {
    this.charColumns.clear()
    // A script of several statements gives an array of results without fields.
    result.fields?.forEach((field, index) => {
      if (field.dataTypeID !== CHAR_OID) return
      field.dataTypeID = pg.types.builtins.TEXT
      this.charColumns.add(index)
    })
  }
}

// TypeScript declares WebAssembly only in its browser library.
declare const WebAssembly: {
  instantiate(bytes: Uint8Array, imports: object): Promise<{ instance: { exports: Record<string, unknown> } }>
}

let loading: Promise<void> | undefined

function loadWebAssembly(): Promise<void> {
  loading ??= instantiate()
  return loading
}

async function instantiate(): Promise<void> {
  const entry = createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm')
  const bytes = await readFile(join(dirname(entry), 'schema_engine_bg.wasm'))
  // The engine reports a panic through this global. Without the global, the report itself is a TypeError.
  Object.assign(globalThis, {
    PRISMA_WASM_PANIC_REGISTRY: {
      set_message(message: string) {
        throw new Error(`Prisma's schema engine panicked: ${message}`)
      },
    },
  })
  const { instance } = await WebAssembly.instantiate(bytes, { './schema_engine_bg.js': { ...bindings } })
  bindings.__wbg_set_wasm(instance.exports)
  const start = instance.exports.__wbindgen_start
  if (typeof start !== 'function') throw new Error('@prisma/schema-engine-wasm has no __wbindgen_start')
  start()
}
