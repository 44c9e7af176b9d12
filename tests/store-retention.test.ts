// What ended long ago is forgotten with all that belongs to it; nothing else is.

import { idBefore, newId } from '@reelqueue/shared/domain/ids'
import { finishBatches, insertBatch } from '@reelqueue/shared/store/batches'
import { cancelGeneration } from '@reelqueue/shared/store/cancellation'
import { testEndpoint } from '@reelqueue/shared/store/endpoint-events'
import { createEndpoint } from '@reelqueue/shared/store/endpoints'
import { forgetEnded } from '@reelqueue/shared/store/retention'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { countRows } from './support/api.ts'
import { claimDelivery } from './support/deliveries.ts'
import { endGeneration } from './support/endings.ts'
import { newGeneration, type Seed, seedDatabase } from './support/seed.ts'

const DAY_MS = 24 * 3_600_000
/** From then the rows of the test are old. */
const LATER_MS = Date.now() + 100 * DAY_MS

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

const forget = (limit = 100) => forgetEnded(seed.database, 90, limit, LATER_MS)
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
const NOTHING = { generations: 0, batches: 0, events: 0, submissions: 0, deliveries: 0 }

describe('what ended long ago', () => {
  it('is forgotten with its ledger, events, deliveries and their attempts', async () => {
    await ended({ webhookUrl: 'https://hooks.example' })
    const [delivery] = await seed.sql<{ id: string }>('SELECT id FROM deliveries')
    await claimDelivery(seed.database, delivery?.id ?? '', 1_000)
    await seed.sql(
      `INSERT INTO delivery_attempts (id, delivery_id, number, message, duration_ms) VALUES ('att_1', $1, 1, 'ok', 1)`,
      [delivery?.id],
    )
    await age()
    expect(await forget()).toEqual({ generations: 0, batches: 0 })
    await seed.sql(`UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL`)
    expect(await forget()).toEqual({ generations: 1, batches: 0 })
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })

  it('is forgotten of endpoints too: their tests, once they are delivered or given up', async () => {
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
    await forget()
    expect(await countRows(seed.url)).toMatchObject({ events: 1, deliveries: 1 })
    await seed.sql(`UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL`)
    await testEndpoint(seed.database, made.endpoint)
    await forget()
    // The young one stays.
    expect(await countRows(seed.url)).toMatchObject({ events: 1, deliveries: 1 })
  })

  it('goes in bounded steps, the oldest first', async () => {
    const ids = [await ended(), await ended(), await ended()]
    await age()
    expect((await forget(2)).generations).toBe(2)
    expect(await seed.sql('SELECT id FROM generations')).toEqual([{ id: ids[2] }])
    expect((await forget(2)).generations).toBe(1)
  })

  it('stays while its batch is open; the batch goes after its generations', async () => {
    const { id, items } = await batch(2)
    await cancelGeneration(seed.database, items[0] ?? '', 0)
    await age()
    expect(await forget()).toEqual({ generations: 0, batches: 0 })
    await cancelGeneration(seed.database, items[1] ?? '', 0)
    await finishBatches(seed.database, [id])
    await seed.sql(`UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL`)
    await age()
    expect((await forget()).generations).toBe(2)
    expect((await forget()).batches).toBe(1)
    expect(await countRows(seed.url)).toEqual(NOTHING)
  })
})

it('nothing younger goes, nor what is open or still asked about', async () => {
  await ended()
  await seed.queued()
  await seed.processing()
  const before = await countRows(seed.url)
  expect(await forget()).toEqual({ generations: 0, batches: 0 })
  await age()
  await seed.sql(`UPDATE generations SET due_at = now() WHERE status = 'completed'`)
  expect(await forget()).toEqual({ generations: 0, batches: 0 })
  expect(await countRows(seed.url)).toEqual(before)
})

it('an id of a moment is below all that are made from then on, and above all from before', () => {
  const now = Date.now()
  const id = newId('generation')
  expect(idBefore('generation', now - 1_000) < id).toBe(true)
  expect(idBefore('generation', now + 60_000) > id).toBe(true)
})
