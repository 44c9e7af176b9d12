// Admission on a real Postgres: the limit holds when several processes admit at the same instant, and the order is
// fair.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations, releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { openDatabase } from '@reelqueue/shared/store/database'
import { insertGenerations } from '@reelqueue/shared/store/intake/generations'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { failOverdue } from '@reelqueue/shared/store/lifecycle/polling'
import { ensureProject, pauseProject } from '@reelqueue/shared/store/projects'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { newGeneration, pollOf, SETTLING, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

async function admit(slots: number, database = seed.database): Promise<{ ids: string[]; againMs: number | null }> {
  const { admitted, againMs } = await admitGenerations(database, CONFIGURED, slots)
  return { ids: admitted.map((row) => row.id), againMs }
}

const insert = (rows: Parameters<typeof insertGenerations>[1]) => insertGenerations(seed.database.prisma, rows)

/** Queued generations of a project, oldest first. */
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
    await queue(8 * 30)
    const processes = Array.from({ length: 8 }, () => openDatabase(seed.url, console.error, 2))
    try {
      // Connected before: a contender waits for the lock for two seconds only.
      await Promise.all(processes.map((database) => database.prisma.$queryRaw`SELECT 1`))
      // All transactions are held at the start, by the lock that serialises them. A process that counted free slots
      // before taking the lock would give out the same slots twice.
      const results = await seed.collide(
        'SELECT pg_advisory_xact_lock(7301001)',
        processes.map((database) => () => admit(30, database)),
      )
      const ids = results.flatMap((result) => result.ids)
      expect(new Set(ids).size).toBe(30)
      expect(ids).toHaveLength(30)
      expect(await inFlight()).toBe(30)
    } finally {
      await Promise.all(processes.map((database) => database.close()))
    }
  })

  it('waits neither for a locked row nor for long for another process', async () => {
    const { id: other } = await ensureProject(seed.database, 'other', () => 'sealed')
    const [first] = await queue(1)
    const late = newGeneration(other)
    await insert([late])
    const soon = { ids: [], againMs: expect.any(Number) }
    await seed.holding(`SELECT 1 FROM generations WHERE id = '${first}' FOR UPDATE`, async () => {
      expect((await admit(1)).ids).toEqual([late.id])
      expect(await admit(2)).toEqual(soon)
    })
    expect(await seed.holding('SELECT pg_advisory_xact_lock(7301001)', () => admit(2))).toEqual(soon)
    expect((await admit(2)).ids).toEqual([first])
  })

  it('frees a slot with each ending, and only then', async () => {
    const processing = await seed.processing()
    const [next] = await queue(1)
    expect(await admit(1)).toEqual({ ids: [], againMs: null })
    await seed.sql(
      `UPDATE generations SET status = 'failed', error_code = 'c', finished_at = now(), due_at = NULL WHERE id = $1`,
      [processing],
    )
    expect(await admit(1)).toEqual({ ids: [next], againMs: null })
  })

  it.each(['cancelled', 'past its deadline'])(
    'counts a generation that is %s for as long as it may render',
    async (how) => {
      const id = await seed.processing()
      if (how === 'cancelled') await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
      else await failOverdue(seed.database, [pollOf(id)], 'deadline_exceeded', SETTLING.renderMaxMs)
      await seed.processing()
      const [next] = await queue(1)
      expect((await admit(2)).ids).toEqual([])
      await seed.sql(`UPDATE generations SET slot_until = now() - interval '1 ms' WHERE id = $1`, [id])
      expect((await admit(2)).ids).toEqual([next])
    },
  )

  it('keeps at most a quarter of the slots for abandoned renders, and never the last slot', async () => {
    for (let n = 0; n < 8; n++) await cancelGeneration(seed.database, await seed.processing(), SETTLING.renderMaxMs)
    await queue(12)
    expect((await admit(1)).ids).toHaveLength(1)
    expect((await admit(8)).ids).toHaveLength(5)
  })

  it('keeps no slot for a generation that was cancelled before anything was submitted', async () => {
    const id = await seed.admitted()
    await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
    const [next] = await queue(1)
    expect((await admit(1)).ids).toEqual([next])
  })

  it('may shrink below what is in flight', async () => {
    await queue(5)
    expect((await admit(3)).ids).toHaveLength(3)
    expect(await admit(1)).toEqual({ ids: [], againMs: null })
  })

  it('says when it stopped at its own bound', async () => {
    await queue(1_100)
    expect(await admit(5_000)).toMatchObject({ againMs: 0 })
    expect(await admit(5_000)).toMatchObject({ againMs: null })
    expect(await inFlight()).toBe(1_100)
  })
})

describe('limits', () => {
  const PRO = { model: 'openAiSora2Pro' }

  it('of a project hold, and leave the slots to others', async () => {
    const { id: other } = await ensureProject(seed.database, 'other', () => 'sealed')
    await seed.sql('UPDATE projects SET max_in_flight = 2 WHERE id = $1', [seed.projectId])
    const mine = await queue(5)
    const rows = Array.from({ length: 5 }, () => newGeneration(other))
    await insert(rows)
    expect((await admit(100)).ids.sort()).toEqual([...mine.slice(0, 2), ...rows.map((row) => row.id)].sort())
    expect((await admit(100)).ids).toEqual([])
    await seed.sql('UPDATE projects SET max_in_flight = NULL')
    expect((await admit(100)).ids).toEqual(mine.slice(2))
  })

  it('of a model hold over all projects, and do not hold up what is behind them', async () => {
    const { id: other } = await ensureProject(seed.database, 'other', () => 'sealed')
    const slow = await queue(50, PRO)
    await insert([newGeneration(other, PRO)])
    const fast = await queue(3)
    const { admitted } = await admitGenerations(seed.database, CONFIGURED, 10, { openAiSora2Pro: 2 })
    const ids = admitted.map((row) => row.id)
    expect(ids).toEqual(expect.arrayContaining(fast))
    expect(ids).toHaveLength(5)
    expect((await admitGenerations(seed.database, CONFIGURED, 10, { openAiSora2Pro: 2 })).admitted).toEqual([])
    expect(slow.filter((id) => ids.includes(id))).toHaveLength(1)
  })

  it('of a model that is full do not hold up another model of a project that may have but one', async () => {
    const { id: other } = await ensureProject(seed.database, 'other', () => 'sealed')
    await insert([newGeneration(other, PRO)])
    expect((await admitGenerations(seed.database, CONFIGURED, 10, { openAiSora2Pro: 1 })).admitted).toHaveLength(1)
    await seed.sql('UPDATE projects SET max_in_flight = 1')
    await queue(1, PRO)
    const [behind] = await queue(1)
    const { admitted } = await admitGenerations(seed.database, CONFIGURED, 10, { openAiSora2Pro: 1 })
    expect(admitted.map((row) => row.id)).toEqual([behind])
  })

  it('count abandoned generations that may still render', async () => {
    const id = await seed.processing(PRO)
    await cancelGeneration(seed.database, id, SETTLING.renderMaxMs)
    await queue(2, PRO)
    expect((await admitGenerations(seed.database, CONFIGURED, 10, { openAiSora2Pro: 2 })).admitted).toHaveLength(1)
  })

  it('keep nothing of a paused project in flight that was not submitted, and give it its place back', async () => {
    const waiting = await queue(4)
    await admit(2)
    await pauseProject(seed.database, seed.projectId, true)
    expect(await releaseAdmitted(seed.database, seed)).toBe(2)
    expect((await admit(10)).ids).toEqual([])
    expect(await inFlight()).toBe(0)
    await pauseProject(seed.database, seed.projectId, false)
    const again = await admitGenerations(seed.database, CONFIGURED, 2)
    expect(again.admitted.map((row) => row.id)).toEqual(waiting.slice(0, 2))
    // A job kept from the first time must not swallow the new job.
    expect(again.admitted.map((row) => row.dispatchCount)).toEqual([1, 1])
  })
})

describe('the order', () => {
  it('with a single slot goes round the projects too, whatever their priorities', async () => {
    const { id: other } = await ensureProject(seed.database, 'other', () => 'sealed')
    const urgent = await queue(20, { priority: 100 })
    const late = [newGeneration(other), newGeneration(other)]
    await insert(late)
    const order: string[] = []
    for (let turn = 0; turn < 5; turn++) {
      order.push(...(await admit(1)).ids)
      await seed.sql(`UPDATE generations SET status = 'failed', error_code = 'c', finished_at = now(), due_at = NULL
        WHERE admitted_at IS NOT NULL AND status = 'queued'`)
    }
    expect(order).toEqual([urgent[0], late[0]?.id, urgent[1], late[1]?.id, urgent[2]])
  })

  it('gives ten that come late their turn before the next fifty of a project with ten thousand', async () => {
    const { id: other } = await ensureProject(seed.database, 'other', () => 'sealed')
    await queue(10_000)
    expect((await admit(50)).ids).toHaveLength(50)
    const late = Array.from({ length: 10 }, () => newGeneration(other))
    await insert(late)
    const order: string[] = []
    for (let turn = 0; turn < 15; turn++) {
      await seed.sql(
        `UPDATE generations SET status = 'failed', error_code = 'c', finished_at = now(), due_at = NULL WHERE id = (
        SELECT id FROM generations WHERE admitted_at IS NOT NULL AND status = 'queued' AND project_id = $1 ORDER BY id LIMIT 1)`,
        [seed.projectId],
      )
      order.push(...(await admit(50)).ids)
    }
    expect(order.slice(0, 10)).toEqual(late.map((row) => row.id))
    expect(order).toHaveLength(15)
  })

  it('goes round the projects: one with a thousand waiting delays nobody else', async () => {
    const names = ['b', 'c']
    const others = await Promise.all(names.map((name) => ensureProject(seed.database, name, () => 'sealed')))
    await queue(1_000)
    const late = others.flatMap(({ id }) => [newGeneration(id), newGeneration(id)])
    await insert(late)
    const { ids } = await admit(6)
    expect(late.filter((row) => ids.includes(row.id))).toHaveLength(4)
    expect(ids).toHaveLength(6)
  })

  it('within a project is by priority, then by age', async () => {
    const normal = await queue(3)
    const low = await queue(1, { priority: -5 })
    const high = await queue(2, { priority: 5 })
    const admitted: string[][] = []
    for (let slots = 1; slots <= 6; slots++) admitted.push((await admit(slots)).ids)
    expect(admitted.flat()).toEqual([...high, ...normal, ...low])
  })

  it('leaves alone what is cancelled, and is due only once it is admitted', async () => {
    const [first = '', second = ''] = await queue(2)
    await cancelGeneration(seed.database, first, 0)
    expect((await seed.row(second)).dueAt).toBeNull()
    expect((await admit(10)).ids).toEqual([second])
    expect((await seed.row(second)).dueAt?.getTime()).toBeGreaterThan(Date.now())
  })
})

it('an idempotency key is taken once by concurrent inserts', async () => {
  const rows = Array.from({ length: 4 }, () => newGeneration(seed.projectId, { idempotencyKey: 'k' }))
  const inserted = await seed.collide(
    'LOCK TABLE generations IN EXCLUSIVE MODE',
    rows.map((row) => () => insert([row, newGeneration(seed.projectId)])),
  )
  expect(inserted.map((map) => map.size).sort()).toEqual([1, 1, 1, 2])
  const events = await seed.sql<{ count: number }>('SELECT count(*)::int AS count FROM events')
  expect(events).toEqual([{ count: 5 }])
})

it('is not held up for long by a process that vanished in the middle of a transaction, with its locks', async () => {
  const [row] = await seed.database.prisma.$queryRaw<{ limit: string }[]>`
    SELECT current_setting('idle_in_transaction_session_timeout') AS limit`
  // Postgres then ends the session; Prisma itself allows no transaction of this length.
  expect(row?.limit).toBe('40s')
})
