// A connection keeps plans made while a table was almost empty: the plans must also suit the full table.

import { insertGenerations } from '@reelqueue/shared/store/intake/generations'
import { expect, it } from 'vitest'
import { newGeneration, seedDatabase } from './support/seed.ts'
import { until } from './support/wait.ts'

const ROWS = 200

it('the first large batch after a few requests does not read the whole table for every row', async () => {
  const seed = await seedDatabase()
  const counts = async () => {
    const [row] = await seed.sql<{ scans: number; lookups: number }>(
      `SELECT seq_scan::int AS scans, idx_scan::int AS lookups FROM pg_stat_user_tables WHERE relname = 'generations'`,
    )
    return row ?? { scans: 0, lookups: 0 }
  }
  // Postgres now knows that the table is empty; an unanalysed table is planned as larger.
  await seed.sql('VACUUM ANALYZE generations')
  const before = await counts()
  const rows = Array.from({ length: ROWS }, () => newGeneration(seed.projectId))
  for (const row of rows.slice(0, 20)) await insertGenerations(seed.database.prisma, [row])
  await insertGenerations(seed.database.prisma, rows.slice(20))
  // Each event's generation was looked up; a session reports statistics after a second.
  const isCounted = ({ scans, lookups }: typeof before) =>
    scans - before.scans + lookups - before.lookups >= ROWS || undefined
  await until('the lookups are counted', async () => {
    // Idle sessions have reported; a statement makes a busy session report.
    await seed.database.prisma.$queryRaw`SELECT 1`
    return isCounted(await counts())
  })
  expect((await counts()).scans - before.scans).toBeLessThan(ROWS / 10)
  await seed.close()
})
