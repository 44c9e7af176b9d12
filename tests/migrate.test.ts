import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { TLSSocket } from 'node:tls'
import { fileURLToPath } from 'node:url'
import { migrate, pendingMigrations, schemaDrift } from '@reelqueue/shared/migrate/migrate'
import { afterEach, beforeEach, describe, expect, inject, test } from 'vitest'
import {
  createDatabase,
  createEmptyDatabase,
  openClient,
  runSql,
  type TestDatabase,
  withDatabaseName,
} from './support/database.ts'
import { PRIVATE_CERTIFICATE, PRIVATE_KEY } from './support/private-certificate.ts'
import { startTransactionPooler } from './support/transaction-pooler.ts'
import { until } from './support/wait.ts'

const FIRST = '20260101000000_first'
const SECOND = '20260102000000_second'

// Semicolons in a comment, in a string and in a function body: a naive split breaks here.
const FIRST_SQL = `-- one; two
CREATE TABLE "film" ("id" INTEGER NOT NULL, "title" TEXT NOT NULL DEFAULT 'a;b', CONSTRAINT "film_pkey" PRIMARY KEY ("id"));
CREATE FUNCTION "answer"() RETURNS integer LANGUAGE plpgsql AS $$ BEGIN PERFORM 1; RETURN 42; END $$;
CREATE INDEX "film_partial" ON "film"("title") WHERE "id" > 3;
`
const SCHEMA = `datasource db {
  provider = "postgresql"
}

model film {
  id    Int    @id
  title String @default("a;b")
}
`

let database: TestDatabase
let prismaDir: string

beforeEach(async () => {
  database = await createEmptyDatabase()
  prismaDir = await mkdtemp(join(tmpdir(), 'reelqueue-prisma-'))
  await mkdir(join(prismaDir, 'migrations'))
  await writeFile(join(prismaDir, 'migrations', 'migration_lock.toml'), 'provider = "postgresql"\n')
  await writeFile(join(prismaDir, 'schema.prisma'), SCHEMA)
  await writeMigration(FIRST, FIRST_SQL)
})

afterEach(async () => {
  await database.drop()
  await rm(prismaDir, { recursive: true })
})

describe('migrate', () => {
  test('applies what is pending, in order and whole, and nothing the second time', async () => {
    await writeMigration(SECOND, 'INSERT INTO "film" VALUES (1)')
    expect(await migrate(database.url, { prismaDir })).toEqual({ applied: [FIRST, SECOND] })
    expect(await migrate(database.url, { prismaDir })).toEqual({ applied: [] })
    expect(await runSql(database.url, 'SELECT title, answer() FROM film')).toEqual([{ title: 'a;b', answer: 42 }])
  })

  test('five processes at once apply each migration once', async () => {
    await writeMigration(SECOND, 'SELECT pg_sleep(0.2); INSERT INTO "film" VALUES (1)')
    const results = await Promise.all(Array.from({ length: 5 }, () => migrate(database.url, { prismaDir })))
    expect(results.flatMap((result) => result.applied)).toEqual([FIRST, SECOND])
    expect(await history()).toHaveLength(2)
  })

  test("writes the history as Prisma's own tool would", async () => {
    await migrate(database.url, { prismaDir })
    const [row] = await history()
    expect(row).toMatchObject({
      migration_name: FIRST,
      checksum: createHash('sha256').update(FIRST_SQL).digest('hex'),
      applied_steps_count: 1,
      logs: null,
      rolled_back_at: null,
      finished_at: expect.any(Date),
    })
  })

  test('a broken migration changes nothing, is named with what Postgres said, and stops every later run', async () => {
    await writeMigration(SECOND, 'CREATE TABLE "lost" ("id" INTEGER); SELECT nonsense FROM film')
    await expect(migrate(database.url, { prismaDir })).rejects.toThrow(
      new RegExp(`Migration ${SECOND} failed .* column "nonsense" does not exist.*--rolled-back ${SECOND}`),
    )
    await expect(runSql(database.url, 'SELECT FROM lost')).rejects.toThrow('does not exist')
    await expect(migrate(database.url, { prismaDir })).rejects.toThrow(`Migration ${SECOND} failed earlier`)
    await expect(pendingMigrations(database.url, { prismaDir })).rejects.toThrow(`Migration ${SECOND} failed earlier`)
  })

  test('applies again what a killed process had begun', async () => {
    await migrate(database.url, { prismaDir })
    await writeMigration(SECOND, 'INSERT INTO "film" VALUES (1)')
    await runSql(
      database.url,
      `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('x', '${'0'.repeat(64)}', '${SECOND}')`,
    )
    expect(await pendingMigrations(database.url, { prismaDir })).toEqual([SECOND])
    expect(await migrate(database.url, { prismaDir })).toEqual({ applied: [SECOND] })
    expect(await pendingMigrations(database.url, { prismaDir })).toEqual([])
  })

  test('a process killed while it migrates leaves a migration that is either applied or still to be applied', async () => {
    await migrate(database.url, { prismaDir })
    await writeMigration(SECOND, 'INSERT INTO "film" VALUES (1); SELECT pg_sleep(0.5)')
    const code =
      "import { migrate } from '@reelqueue/shared/migrate/migrate'; await migrate(process.argv[1], { prismaDir: process.argv[2] })"
    const args = ['--import', 'tsx', '--input-type=module', '--eval', code, database.url, prismaDir]
    const child = spawn(process.execPath, args, {
      cwd: fileURLToPath(new URL('..', import.meta.url)),
      stdio: 'inherit',
    })
    await until('the migration is running', async () => {
      const running = await runSql(
        database.url,
        "SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database()",
      )
      return running.length > 0
    })
    child.kill('SIGKILL')
    await migrate(database.url, { prismaDir })
    expect(await pendingMigrations(database.url, { prismaDir })).toEqual([])
    expect(await runSql(database.url, 'SELECT id FROM film')).toEqual([{ id: 1 }])
  })

  test('refuses a database that is newer than the code', async () => {
    await writeMigration(SECOND, 'SELECT 1')
    await migrate(database.url, { prismaDir })
    await rm(join(prismaDir, 'migrations', SECOND), { recursive: true })
    await expect(migrate(database.url, { prismaDir })).rejects.toThrow(
      `newer than this version of Reelqueue: it has ${SECOND}`,
    )
    await expect(pendingMigrations(database.url, { prismaDir })).rejects.toThrow('newer than this version')
  })

  test('refuses an applied migration that was edited', async () => {
    await migrate(database.url, { prismaDir })
    await writeMigration(FIRST, `${FIRST_SQL}SELECT 1;`)
    await expect(migrate(database.url, { prismaDir })).rejects.toThrow(`Migration ${FIRST} was changed after`)
  })

  test("refuses a database with someone else's tables", async () => {
    await runSql(database.url, 'CREATE TABLE theirs ()')
    await expect(migrate(database.url, { prismaDir })).rejects.toThrow('a database of its own')
  })

  test('refuses a database in another encoding, and one that is read-only, in one sentence with the fix', async () => {
    const name = `reelqueue_test_latin_${process.pid}`
    const server = inject('postgresUrl')
    await runSql(server, `CREATE DATABASE ${name} TEMPLATE template0 ENCODING 'SQL_ASCII' LOCALE 'C'`)
    const latin = migrate(withDatabaseName(server, name), { prismaDir })
    await expect(latin).rejects.toThrow(/encoding SQL_ASCII, .*ENCODING 'UTF8'/)
    await runSql(server, `DROP DATABASE ${name} WITH (FORCE)`)
    await runSql(server, `ALTER DATABASE ${nameOf(database)} SET default_transaction_read_only = on`)
    await expect(migrate(database.url, { prismaDir })).rejects.toThrow(/read-only .*default_transaction_read_only off/)
  })

  test('names the right that its user lacks, with the statement that grants it', async () => {
    const server = inject('postgresUrl')
    const user = `reelqueue_test_guest_${process.pid}`
    await runSql(server, `CREATE ROLE ${user} LOGIN PASSWORD 'guest'`)
    const url = Object.assign(new URL(database.url), { username: user, password: 'guest' }).href
    await runSql(database.url, 'REVOKE CREATE ON SCHEMA public FROM PUBLIC')
    await expect(migrate(url, { prismaDir })).rejects.toThrow(`GRANT CREATE ON SCHEMA public TO "${user}"`)
    await runSql(database.url, `GRANT CREATE ON SCHEMA public TO ${user}`)
    await expect(migrate(url, { prismaDir })).rejects.toThrow(`GRANT CREATE ON DATABASE "${nameOf(database)}" TO`)
    await runSql(database.url, `GRANT CREATE ON DATABASE ${nameOf(database)} TO ${user}`)
    expect(await migrate(url, { prismaDir })).toEqual({ applied: [FIRST] })
    await runSql(database.url, `DROP OWNED BY ${user} CASCADE`)
    await runSql(server, `DROP ROLE ${user}`)
  })

  test('says that it waits for another migration, and for how long', async () => {
    const holder = await openClient(database.url)
    await holder.query('SELECT pg_advisory_lock(72707369)')
    const said: string[] = []
    const migrating = migrate(database.url, { prismaDir, onWait: (sentence) => said.push(sentence) })
    await until('it says so', () => said.length > 0)
    await holder.end()
    await migrating
    expect(said).toEqual([expect.stringMatching(/^Waiting for another migration of .*, at most 300 s/)])
  })

  test('says what to do about TLS: a private certificate, a server without it, a file that is not there', async () => {
    const server = createServer((socket) => {
      socket.on('error', () => socket.destroy())
      socket.once('data', () => {
        // Postgres' reply that accepts TLS.
        socket.write('S')
        const options = { isServer: true, key: PRIVATE_KEY, cert: PRIVATE_CERTIFICATE }
        new TLSSocket(socket, options).on('error', () => socket.destroy())
      })
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const untrusted = `postgresql://me:hush@127.0.0.1:${(server.address() as AddressInfo).port}/films?sslmode=verify-full`
    const refused = String(await migrate(untrusted, { prismaDir }).catch((error: Error) => error))
    expect(refused).toMatch(/self-signed certificate.*sslrootcert=.*NODE_EXTRA_CA_CERTS.*sslmode=no-verify/)
    expect(refused).not.toContain('hush')
    server.close()
    await expect(migrate(`${database.url}?sslmode=require`, { prismaDir })).rejects.toThrow('sslmode=disable')
    const missing = `${database.url}?sslmode=verify-full&sslrootcert=/no/such/ca.pem`
    await expect(migrate(missing, { prismaDir })).rejects.toThrow(/A file that DATABASE_URL names .*ENOENT/)
  })

  test('through a pooler in transaction mode is refused at once, and leaves no lock behind', async () => {
    // Normally each statement may use a different server process; here all connections share one process.
    const pooler = await startTransactionPooler(database.url)
    const beganAt = performance.now()
    await expect(migrate(pooler.url, { prismaDir })).rejects.toThrow(/pooler in transaction mode.*pool_mode = session/)
    expect(performance.now() - beganAt).toBeLessThan(30_000)
    const locks = await runSql(
      database.url,
      "SELECT FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    )
    expect(locks).toEqual([])
    await pooler.close()
  })

  test('says where it could not connect, and never the password', async () => {
    const refused = await migrate('postgresql://me:hush@127.0.0.1:1/films', { prismaDir }).catch(
      (error: Error) => error,
    )
    expect(String(refused)).toContain('Cannot connect to Postgres at 127.0.0.1:1/films: connect ECONNREFUSED')
    expect(String(refused)).not.toContain('hush')
    const missing = new URL(database.url)
    missing.pathname = '/no_such_database'
    await expect(migrate(missing.href, { prismaDir })).rejects.toThrow('Create that database')
  })
})

describe('pendingMigrations', () => {
  test('names what is not applied yet, oldest first', async () => {
    await writeMigration(SECOND, 'SELECT 1')
    expect(await pendingMigrations(database.url, { prismaDir })).toEqual([FIRST, SECOND])
    await migrate(database.url, { prismaDir })
    expect(await pendingMigrations(database.url, { prismaDir })).toEqual([])
  })

  test('waits for a migration under way instead of calling it failed', async () => {
    await writeMigration(SECOND, 'SELECT pg_sleep(0.3)')
    const migrating = migrate(database.url, { prismaDir })
    const seen = await pendingMigrations(database.url, { prismaDir })
    await migrating
    // Whichever gets the lock first, the result is one of two end states, never an error.
    expect([[], [FIRST, SECOND]]).toContainEqual(seen)
  })
})

test('the columns of batch changes come without anyone waiting behind a batch that is being inserted', async () => {
  const earlier = join(prismaDir, 'earlier')
  await cp(fileURLToPath(new URL('../prisma', import.meta.url)), earlier, { recursive: true })
  const names = (await readdir(join(earlier, 'migrations'))).filter(
    (name) => name >= '20261129205000' && /^\d/.test(name),
  )
  for (const name of names) await rm(join(earlier, 'migrations', name), { recursive: true })
  await migrate(database.url, { prismaDir: earlier })
  const inserting = await openClient(database.url)
  await inserting.query(`BEGIN; INSERT INTO projects (id, name, webhook_secret) VALUES ('prj_1', 'one', '');
    INSERT INTO batches (id, project_id, total) VALUES ('bat_1', 'prj_1', 0)`)
  const migrating = migrate(database.url)
  const isWaiting = async () =>
    (await inserting.query('SELECT FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))'))
      .rows.length > 0
  await until('it waits for the batch', isWaiting)
  // Later statements pass while the batch transaction is still open.
  await runSql(database.url, 'SELECT FROM batches')
  await inserting.query('COMMIT')
  await inserting.end()
  expect((await migrating).applied).toEqual(names)
}, 60_000)

describe('schemaDrift', () => {
  test('is empty when the migrations lead to schema.prisma, else the SQL that is missing', async () => {
    await migrate(database.url, { prismaDir })
    expect(await schemaDrift(database.url, { prismaDir })).toBe('')
    await writeFile(join(prismaDir, 'schema.prisma'), SCHEMA.replace('@default("a;b")', '@default("a;b")\n  year Int?'))
    expect(await schemaDrift(database.url, { prismaDir })).toContain('ALTER TABLE "film" ADD COLUMN     "year" INTEGER')
  })

  test("is empty for the repository's own migrations", async () => {
    const clone = await createDatabase()
    expect(await schemaDrift(clone.url)).toBe('')
    expect(await pendingMigrations(clone.url)).toEqual([])
    await clone.drop()
  })
})

test('clones of the template are separate databases, gone when dropped', async () => {
  const [one, two] = await Promise.all([createDatabase(), createDatabase()])
  await runSql(one.url, 'CREATE TABLE mark ()')
  await expect(runSql(two.url, 'SELECT FROM mark')).rejects.toThrow('does not exist')
  await Promise.all([one.drop(), two.drop()])
  const left = await runSql<{ datname: string }>(inject('postgresUrl'), 'SELECT datname FROM pg_database')
  const names = left.map((row) => `/${row.datname}`)
  expect(names).not.toContain(new URL(one.url).pathname)
})

const nameOf = ({ url }: TestDatabase) => new URL(url).pathname.slice(1)

async function writeMigration(name: string, sql: string): Promise<void> {
  const folder = join(prismaDir, 'migrations', name)
  await mkdir(folder, { recursive: true })
  await writeFile(join(folder, 'migration.sql'), sql)
}

function history() {
  return runSql(database.url, 'SELECT * FROM _prisma_migrations ORDER BY started_at')
}
