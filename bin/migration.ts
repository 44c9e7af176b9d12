// `npm run migration -- NAME`: writes prisma/migrations/<time>_NAME/migration.sql, the way from the existing migrations to schema.prisma,
// computed on a throw-away Postgres. Read the script before committing: add by hand the parts that Prisma cannot express (partial indexes,
// checks, functions); each script must run as one transaction.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { startEmbeddedPostgres } from '@reelqueue/shared/embedded/embedded-postgres'
import { migrate, schemaDrift } from '@reelqueue/shared/migrate/migrate'
import { runToEnd, type Stops } from './command.ts'

const MIGRATIONS = fileURLToPath(new URL('../prisma/migrations', import.meta.url))

const name = process.argv[2]
if (name === undefined || !/^[a-z0-9_]+$/.test(name)) {
  console.error('Usage: npm run migration -- NAME, where NAME is made of a-z, 0-9 and _')
  process.exit(2)
}
await runToEnd(async (stops) => {
  const sql = await differenceFromMigrations(stops)
  if (sql === '') {
    console.log('Nothing to do: the migrations already lead to schema.prisma.')
    return
  }
  const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14)
  const folder = join(MIGRATIONS, `${time}_${name}`)
  await mkdir(folder)
  await writeFile(join(folder, 'migration.sql'), sql)
  console.log(`Wrote ${join(folder, 'migration.sql')}`)
})

async function differenceFromMigrations(stops: Stops): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-migration-'))
  stops.push(() => rm(dataDir, { recursive: true, force: true }))
  await chmod(dataDir, 0o755)
  const starting = startEmbeddedPostgres({ dataDir, log: () => undefined, stopping: stops.stopping })
  stops.push(async () => (await starting.catch(() => null))?.stop())
  const { url } = await starting
  await migrate(url)
  return await schemaDrift(url)
}
