// Admission with more waiting projects than admission compares: projects without a slot come first.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { insertGenerations } from '@reelqueue/shared/store/intake/generations'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { newGeneration, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

const PRO = 'openAiSora2Pro'
const PROJECTS = 250
/** Each project with two generations of `model`, in order of the project names. */
async function crowd(model: string): Promise<string[]> {
  await seed.sql(
    `INSERT INTO projects (id, name, webhook_secret) SELECT new_id('prj'), 'p' || to_char(n, '000'), 's' FROM generate_series(1, $1::int) n`,
    [PROJECTS],
  )
  const ids = await seed.sql<{ id: string }>(`SELECT id FROM projects WHERE name LIKE 'p%' ORDER BY name`)
  await insertGenerations(
    seed.database.prisma,
    ids.flatMap(({ id }) => [newGeneration(id, { model }), newGeneration(id, { model, priority: 9 })]),
  )
  return ids.map((project) => project.id)
}
/** Admits until nothing more can be admitted. @returns the generations in flight by project */
async function fill(slots: number, perModel = {}): Promise<Map<string, number>> {
  while ((await admitGenerations(seed.database, CONFIGURED, slots, perModel)).againMs === 0);
  const rows = await seed.sql<{ id: string; count: number }>(
    'SELECT project_id AS id, count(*)::int AS count FROM generations WHERE admitted_at IS NOT NULL GROUP BY project_id',
  )
  return new Map(rows.map((row) => [row.id, row.count]))
}

it('no project gets a second slot before all have one, and the project that has waited longer is first', async () => {
  const ids = await crowd('openAiSora2Plus')
  await seed.sql(`UPDATE projects SET last_admitted_at = now() WHERE id <> ALL ($1)`, [ids.slice(100, 120)])
  expect([...(await fill(20)).keys()].sort()).toEqual(ids.slice(100, 120).sort())
  const counts = await fill(PROJECTS + 30)
  expect(counts.size).toBe(PROJECTS)
  expect([...counts.values()].filter((count) => count === 2)).toHaveLength(30)
  expect(await seed.sql(`SELECT 1 FROM generations WHERE priority = 9 AND admitted_at IS NULL`)).toEqual([])
})

it('those of a full model or a paused project do not hold up what is behind them', async () => {
  const ids = await crowd(PRO)
  await seed.sql('UPDATE projects SET paused_at = now() WHERE id = ANY ($1)', [ids.slice(0, 10)])
  const behind = await seed.queued()
  await seed.sql('UPDATE projects SET last_admitted_at = now() WHERE id = $1', [seed.projectId])
  const counts = await fill(50, { [PRO]: 5 })
  expect(counts.size).toBe(6)
  expect(counts.get(seed.projectId)).toBe(1)
  expect((await seed.row(behind)).admittedAt).not.toBeNull()
  expect(ids.slice(0, 10).filter((id) => counts.has(id))).toEqual([])
})
