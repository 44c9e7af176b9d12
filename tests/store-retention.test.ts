// Purge: generations that ended long ago are deleted with all their rows; all other rows stay.

import { idBefore, newId } from '@reelqueue/contract/terms/ids'
import { pollLimits } from '@reelqueue/shared/domain/poll-plan'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { createLogger } from '@reelqueue/shared/runtime/log'
import type { Database } from '@reelqueue/shared/store/database'
import { testEndpoint } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { createEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { finishBatches, insertBatch } from '@reelqueue/shared/store/intake/batches'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { HISTORY } from '@reelqueue/shared/store/operator/retention'
import { purgeHistory } from '@reelqueue/worker/steps/purge'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { countRows } from './support/api.ts'
import { claimDelivery } from './support/deliveries.ts'
import { endGeneration } from './support/endings.ts'
import { makeOldGenerations, purgeEnded } from './support/history.ts'
import { newGeneration, type Seed, seedDatabase } from './support/seed.ts'
import { until } from './support/wait.ts'

const DAY_MS = 24 * 3_600_000
/** From this time the test's rows are old. */
const LATER_MS = Date.now() + 100 * DAY_MS
const AGE = { days: 90, nowMs: LATER_MS }

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

const purge = (limit = 100) => purgeEnded(seed.database, 90, limit, LATER_MS)
async function age(): Promise<void> {
  for (const [table, column] of [
    ['generations', 'finished_at'],
    ['batches', 'completed_at'],
  ]) {
    await seed.sql(`UPDATE ${table} SET ${column} = ${column} - interval '100 days' WHERE ${column} IS NOT NULL`)
  }
}
async function ended(fields: Parameters<Seed['queued']>[0] = {}): Promise<string> {
  const id = await seed.queued(fields)
  await endGeneration(seed.database, id, 'completed')
  return id
}
async function batch(count: number): Promise<{ id: string; items: string[] }> {
  const id = newId('batch')
  const items = Array.from({ length: count }, () => newGeneration(seed.projectId, { batchId: id }))
  const row = {
    id,
    projectId: seed.projectId,
    parentId: null,
    webhookUrl: 'https://h.example',
    metadata: null,
    idempotencyKey: null,
    idempotencyHash: null,
  }
  await insertBatch(seed.database, row, [items])
  return { id, items: items.map((item) => item.id) }
}
const SETTINGS = {
  poll: pollLimits(1_000, 1_000, 60_000, CONFIGURED.facts),
  upstreamTimeoutMs: 1_000,
  reconcileIntervalMs: 1_000,
}
const NOTHING = { generations: 0, batches: 0, events: 0, submissions: 0, deliveries: 0 }

describe('what ended long ago', () => {
  it('is purged with its submissions, events, deliveries and their attempts', async () => {
    await ended({ webhookUrl: 'https://hooks.example' })
    const [delivery] = await seed.sql<{ id: string }>('SELECT id FROM deliveries')
    await claimDelivery(seed.database, delivery?.id ?? '', 1_000)
    await seed.sql(
      `INSERT INTO delivery_attempts (id, delivery_id, number, message, duration_ms) VALUES ('att_1', $1, 1, 'ok', 1)`,
      [delivery?.id],
    )
    await age()
    expect(await purge()).toEqual({ generations: 0, batches: 0, endpointEvents: 0 })
    await seed.sql(`UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL`)
    expect(await purge()).toMatchObject({ generations: 1 })
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })

  it('purges events of endpoints too: their tests, once they are delivered or given up', async () => {
    const made = await createEndpoint(seed.database, {
      id: newId('endpoint'),
      projectId: seed.projectId,
      url: 'https://hooks.example',
      description: null,
      eventTypes: [],
      sealedSecret: 'sealed',
    })
    if (made.kind !== 'created') throw new Error(made.kind)
    await testEndpoint(seed.database, made.endpoint)
    await seed.sql(`UPDATE events SET created_at = created_at - interval '100 days'`)
    await purge()
    expect(await countRows(seed.url)).toMatchObject({ events: 1, deliveries: 1 })
    await seed.sql(`UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL`)
    await testEndpoint(seed.database, made.endpoint)
    await purge()
    // The recent generation stays.
    expect(await countRows(seed.url)).toMatchObject({ events: 1, deliveries: 1 })
  })

  it('goes in bounded steps, the oldest first', async () => {
    const ids = [await ended(), await ended(), await ended()]
    await age()
    const [generations] = HISTORY
    const last = await generations?.lastOfPage(seed.database, AGE, '', 2)
    expect(last).toBe(ids[1])
    expect(await generations?.purge(seed.database, AGE, '', last ?? '')).toBe(2)
    expect(await seed.sql('SELECT id FROM generations')).toEqual([{ id: ids[2] }])
    expect((await purge(1)).generations).toBe(1)
  })

  it('stays while its batch is open; the batch goes after its generations', async () => {
    const { id, items } = await batch(2)
    await cancelGeneration(seed.database, items[0] ?? '', 0)
    await age()
    expect(await purge()).toEqual({ generations: 0, batches: 0, endpointEvents: 0 })
    await cancelGeneration(seed.database, items[1] ?? '', 0)
    await finishBatches(seed.database, [id])
    await seed.sql(`UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL`)
    await age()
    expect(await purge()).toMatchObject({ generations: 2, batches: 1 })
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })
})

it('nothing younger goes, nor what is open or still asked about', async () => {
  await ended()
  await seed.queued()
  await seed.processing()
  const before = await countRows(seed.url)
  expect(await purge()).toEqual({ generations: 0, batches: 0, endpointEvents: 0 })
  await age()
  await seed.sql(`UPDATE generations SET due_at = now() WHERE status = 'completed'`)
  expect(await purge()).toEqual({ generations: 0, batches: 0, endpointEvents: 0 })
  expect(await countRows(seed.url)).toEqual(before)
})

describe('what cannot go now', () => {
  const OLD = 40
  const left = async () =>
    (await seed.sql<{ id: string }>('SELECT id FROM generations ORDER BY id')).map(({ id }) => id)
  const refuse = (table: string, id: string) =>
    seed.sql(
      `CREATE TRIGGER refuses BEFORE DELETE ON ${table} FOR EACH ROW WHEN (OLD.id = '${id}') EXECUTE FUNCTION refuse()`,
    )

  it('keeps nothing else: a row that is locked, or that a trigger refuses, whether its own or one of what belongs to it', async () => {
    const ids = await makeOldGenerations(seed, OLD)
    const [locked = '', owner = '', refused = '', refusedBelow = ''] = [ids[3], ids[11], ids[20], ids[21]]
    await seed.sql(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$`)
    await refuse('generations', refused)
    await refuse('submissions', `sub_${refusedBelow}`)
    await seed.holding(`SELECT 1 FROM generations WHERE id = '${locked}' FOR UPDATE`, async (sql) => {
      await sql(`SELECT 1 FROM deliveries WHERE id = 'dlv_${owner}' FOR UPDATE`)
      expect((await purge()).generations).toBe(OLD - 4)
      expect(await left()).toEqual([locked, owner, refused, refusedBelow])
    })
    expect((await purge()).generations).toBe(2)
    expect(await left()).toEqual([refused, refusedBelow])
    for (const table of ['generations', 'submissions']) await seed.sql(`DROP TRIGGER refuses ON ${table}`)
    await seed.sql(`UPDATE unstorable_rows SET retry_at = now()`)
    expect((await purge()).generations).toBe(2)
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })

  it('is passed over, however much of it is older: a page looks at no more rows than it may have', async () => {
    const ids = await makeOldGenerations(seed, OLD)
    await seed.sql(`UPDATE generations SET due_at = now() WHERE id < $1`, [ids[30]])
    expect(await HISTORY[0]?.lastOfPage(seed.database, AGE, '', 10)).toBe(ids[9])
    expect((await purge(10)).generations).toBe(10)
    expect(await left()).toEqual(ids.slice(0, 30))
  })
})

describe('several workers', () => {
  it('share a history: what one is deleting the others pass over, without waiting', async () => {
    const ids = await makeOldGenerations(seed, 40)
    const page = `SELECT 1 FROM generations WHERE id <= '${ids[9]}' FOR UPDATE`
    // A lock wait ends after a while, and the purge tries again with half of the page.
    let transactions = 0
    const get = (target: Database['prisma'], name: string | symbol) => {
      if (name === '$transaction') transactions += 1
      return Reflect.get(target, name, target)
    }
    const database = { ...seed.database, prisma: new Proxy(seed.database.prisma, { get }) }
    const purged = await seed.holding(page, () => purgeEnded(database, AGE.days, 10, AGE.nowMs))
    expect([purged.generations, transactions]).toEqual([30, 4])
  })

  it('at once purge every row once', async () => {
    await makeOldGenerations(seed, 300)
    const counts = await Promise.all([purge(20), purge(30), purge(20)])
    expect(counts.reduce((sum, { generations }) => sum + generations, 0) + (await purge()).generations).toBe(300)
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })
})

describe('a sweep of a worker', () => {
  const deps = () => ({
    database: seed.database,
    log: createLogger('silent'),
    settings: { ...SETTINGS, retentionDays: 90 },
  })

  it('goes over all that is old', async () => {
    await makeOldGenerations(seed, 250)
    await purgeHistory(deps(), new AbortController().signal)
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })

  it('commits page by page, and ends between two of them when the worker stops', async () => {
    const ids = await makeOldGenerations(seed, 1_000)
    const stopping = new AbortController()
    // Makes the second page last.
    await seed.holding(`SELECT 1 FROM deliveries WHERE id = 'dlv_${ids[150]}' FOR UPDATE`, async () => {
      const sweeping = purgeHistory(deps(), stopping.signal)
      await until('a page is committed', async () => (await countRows(seed.url)).generations < 1_000)
      stopping.abort()
      await sweeping
    })
    expect((await countRows(seed.url)).generations).toBeGreaterThanOrEqual(500)
    await purgeHistory(deps(), new AbortController().signal)
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })
})

it('an id of a moment is below all that are made from then on, and above all from before', () => {
  const now = Date.now()
  const id = newId('generation')
  expect(idBefore('generation', now - 1_000) < id).toBe(true)
  expect(idBefore('generation', now + 60_000) > id).toBe(true)
})
