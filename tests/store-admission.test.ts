// Admission on a real Postgres: the cap holds whoever admits at the same instant, and the order is fair.

import { admitGenerations } from '@reelqueue/shared/store/admission'
import { cancelGeneration } from '@reelqueue/shared/store/cancellation'
import { openDatabase } from '@reelqueue/shared/store/database'
import { insertGenerations } from '@reelqueue/shared/store/generations'
import { failOverdue } from '@reelqueue/shared/store/polling'
import { ensureProject } from '@reelqueue/shared/store/projects'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newGeneration, SETTLING, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

const insert = (rows: Parameters<typeof insertGenerations>[1]) => insertGenerations(seed.database.prisma, rows)

/** Queued generations of one project, oldest first. */
async function queue(count: number, fields: Parameters<typeof newGeneration>[1] = {}): Promise<string[]> {
  const rows = Array.from({ length: count }, () => newGeneration(seed.projectId, fields))
  await insert(rows)
  return rows.map((row) => row.id)
}

async function inFlight(): Promise<number> {
  const [row] = await seed.sql<{ count: number }>(
    'SELECT count(*)::int AS count FROM generations WHERE admitted_at IS NOT NULL',
  )
  return row?.count ?? 0
}

describe('the cap', () => {
  it('holds when eight processes admit at the same instant, each with others waiting before its eyes', async () => {
    const [first] = await queue(30)
    const processes = Array.from({ length: 8 }, () => openDatabase(seed.url, console.error, 2))
    try {
      // The first process is held in the middle of its transaction. Whoever does not wait for it counts the same free
      // slots, and gives them to the rows that have come in meanwhile.
      const results = await seed.collide(
        `SELECT 1 FROM generations WHERE id = '${first}' FOR UPDATE`,
        processes.map((database, index) => async () => {
          await queue(30, { priority: index })
          return await admitGenerations(database, 30)
        }),
      )
      const ids = results.flatMap((result) => result.ids)
      expect(new Set(ids).size).toBe(30)
      expect(ids).toHaveLength(30)
      expect(await inFlight()).toBe(30)
    } finally {
      await Promise.all(processes.map((database) => database.close()))
    }
  })

  it('frees a slot with each ending, and only then', async () => {
    const processing = await seed.processing()
    const [next] = await queue(1)
    expect(await admitGenerations(seed.database, 1)).toEqual({ ids: [], more: false })
    await seed.sql(
      `UPDATE generations SET status = 'failed', error_code = 'c', finished_at = now(), due_at = NULL WHERE id = $1`,
      [processing],
    )
    expect(await admitGenerations(seed.database, 1)).toEqual({ ids: [next], more: false })
  })

  it.each(['cancelled', 'past its deadline'])(
    'counts a generation that is %s for as long as it may render',
    async (how) => {
      const id = await seed.processing()
      if (how === 'cancelled') await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
      else await failOverdue(seed.database, [id], 'deadline_exceeded', SETTLING.renderMaxMs)
      const [next] = await queue(1)
      expect((await admitGenerations(seed.database, 1)).ids).toEqual([])
      await seed.sql(`UPDATE generations SET slot_until = now() - interval '1 ms' WHERE id = $1`, [id])
      expect((await admitGenerations(seed.database, 1)).ids).toEqual([next])
    },
  )

  it('keeps no slot for a generation that was cancelled before anything was submitted', async () => {
    const id = await seed.admitted()
    await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
    const [next] = await queue(1)
    expect((await admitGenerations(seed.database, 1)).ids).toEqual([next])
  })

  it('may shrink below what is in flight', async () => {
    await queue(5)
    expect((await admitGenerations(seed.database, 3)).ids).toHaveLength(3)
    expect(await admitGenerations(seed.database, 1)).toEqual({ ids: [], more: false })
  })

  it('says when it stopped at its own bound', async () => {
    await queue(1_100)
    expect(await admitGenerations(seed.database, 5_000)).toMatchObject({ more: true })
    expect(await admitGenerations(seed.database, 5_000)).toMatchObject({ more: false })
    expect(await inFlight()).toBe(1_100)
  })
})

describe('the order', () => {
  it('goes round the projects: one with a thousand waiting delays nobody else', async () => {
    const names = ['b', 'c']
    const others = await Promise.all(names.map((name) => ensureProject(seed.database, name, 'sealed')))
    await queue(1_000)
    const late = others.flatMap(({ id }) => [newGeneration(id), newGeneration(id)])
    await insert(late)
    const { ids } = await admitGenerations(seed.database, 6)
    expect(late.filter((row) => ids.includes(row.id))).toHaveLength(4)
    expect(ids).toHaveLength(6)
  })

  it('within a project is by priority, then by age', async () => {
    const normal = await queue(3)
    const low = await queue(1, { priority: -5 })
    const high = await queue(2, { priority: 5 })
    const admitted: string[][] = []
    for (let slots = 1; slots <= 6; slots++) admitted.push((await admitGenerations(seed.database, slots)).ids)
    expect(admitted.flat()).toEqual([...high, ...normal, ...low])
  })

  it('leaves alone what is cancelled, and is due only once it is admitted', async () => {
    const [first = '', second = ''] = await queue(2)
    await cancelGeneration(seed.database, first, 0)
    expect((await seed.row(second)).dueAt).toBeNull()
    expect((await admitGenerations(seed.database, 10)).ids).toEqual([second])
    expect((await seed.row(second)).dueAt?.getTime()).toBeGreaterThan(Date.now())
  })
})

it('an idempotency key is taken once, whoever inserts at the same instant', async () => {
  const rows = Array.from({ length: 4 }, () => newGeneration(seed.projectId, { idempotencyKey: 'k' }))
  const inserted = await seed.collide(
    'LOCK TABLE generations IN EXCLUSIVE MODE',
    rows.map((row) => () => insert([row, newGeneration(seed.projectId)])),
  )
  expect(inserted.map((map) => map.size).sort()).toEqual([1, 1, 1, 2])
  const events = await seed.sql<{ count: number }>('SELECT count(*)::int AS count FROM events')
  expect(events).toEqual([{ count: 5 }])
})
