// A connection keeps the plans that it made while a table was all but empty: they must serve the table that it becomes.

import { insertGenerations } from '@reelqueue/shared/store/generations'
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
  // Known to be empty: unknown ones are planned for as if they were larger.
  await seed.sql('VACUUM ANALYZE generations')
  const before = await counts()
  const rows = Array.from({ length: ROWS }, () => newGeneration(seed.projectId))
  for (const row of rows.slice(0, 20)) await insertGenerations(seed.database.prisma, [row])
  await insertGenerations(seed.database.prisma, rows.slice(20))
  // Each event's generation was looked up; a session tells of that after a second.
  const isCounted = ({ scans, lookups }: typeof before) =>
    scans - before.scans + lookups - before.lookups >= ROWS || undefined
  await until('the lookups are counted', async () => {
    // Idle sessions have told; a statement makes one tell.
    await seed.database.prisma.$queryRaw`SELECT 1`
    return isCounted(await counts())
  })
  expect((await counts()).scans - before.scans).toBeLessThan(ROWS / 10)
  await seed.close()
})
