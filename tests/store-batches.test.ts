// Batches on a real Postgres: a batch ends once, after the last generation.

import { newId } from '@reelqueue/contract/terms/ids'
import { batchAtEvent } from '@reelqueue/contract/wire/batch'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { findLastPosition } from '@reelqueue/shared/store/admission/queue-position'
import {
  countByStatus,
  findBatch,
  findBatchByIdempotencyKey,
  finishBatches,
  insertBatch,
  type NewBatch,
  readBatch,
} from '@reelqueue/shared/store/intake/batches'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { endedBatches } from '@reelqueue/shared/store/lifecycle/overdue'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { beginSubmission } from '@reelqueue/shared/store/lifecycle/submissions'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { beginRequestFor, newGeneration, SETTLING, type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
beforeAll(async () => {
  seed = await seedDatabase()
})
afterAll(() => seed.close())

const finish = (...ids: string[]) => finishBatches(seed.database, ids)
const cancel = (id: string) => cancelGeneration(seed.database, id, 0)

function newBatch(fields: Partial<NewBatch> = {}): NewBatch {
  return {
    id: newId('batch'),
    projectId: seed.projectId,
    parentId: null,
    webhookUrl: null,
    metadata: null,
    idempotencyKey: null,
    idempotencyHash: null,
    ...fields,
  }
}

async function batchOf(size: number, fields: Partial<NewBatch> = {}): Promise<{ id: string; items: string[] }> {
  const batch = newBatch(fields)
  const rows = Array.from({ length: size }, () => newGeneration(seed.projectId, { batchId: batch.id }))
  expect(await insertBatch(seed.database, batch, [rows])).toBe(true)
  return { id: batch.id, items: rows.map((row) => row.id) }
}

const eventsOf = (batchId: string) => seed.database.prisma.event.findMany({ where: { batchId } })

it('the last of a batch is the one of the least priority, whatever its age', async () => {
  const { id, items } = await batchOf(3)
  await seed.sql('UPDATE generations SET priority = -5 WHERE id = $1', [items[0]])
  await seed.sql('UPDATE generations SET priority = 5 WHERE id = $1', [items[2]])
  expect((await findLastPosition(seed.database, CONFIGURED, id, 15))?.ahead).toBe(2)
})

describe('finishing a batch', () => {
  it('waits for the last of its generations, in whatever open status that is', async () => {
    const { id, items } = await batchOf(3)
    const [first = '', second = '', third = ''] = items
    await cancel(first)
    await cancel(second)
    for (const status of ['queued', 'submitting', 'processing']) {
      await seed.sql('UPDATE generations SET status = $2::generation_status WHERE id = $1', [third, status])
      expect(await finish(id)).toEqual([])
      expect((await readBatch(seed.database, id)).completedAt).toBeNull()
    }
    expect(await endedBatches(seed.database, 10)).not.toContain(id)
    await cancel(third)
    expect(await endedBatches(seed.database, 10)).toContain(id)
    await finish(id)
    expect((await readBatch(seed.database, id)).completedAt).not.toBeNull()
    expect(await endedBatches(seed.database, 10)).not.toContain(id)
  })

  it('is found by reconcile behind any number of older batches that are still open', async () => {
    for (let older = 0; older < 3; older++) await batchOf(1)
    const { id, items } = await batchOf(1)
    await cancel(items[0] ?? '')
    expect(await endedBatches(seed.database, 1)).toEqual([id])
    await finish(id)
  })

  it('happens once when four workers notice it at the same instant: one event, one delivery', async () => {
    const { id, items } = await batchOf(2, { webhookUrl: 'https://example.com/hook' })
    for (const item of items) await cancel(item)
    const lock = `SELECT 1 FROM batches WHERE id = '${id}' FOR UPDATE`
    const deliveryIds = await seed.collide(
      lock,
      [1, 2, 3, 4].map(() => () => finish(id)),
    )
    expect(deliveryIds.flat()).toHaveLength(1)
    expect(await eventsOf(id)).toMatchObject([{ type: 'batch.completed', sequence: 1 }])
    expect(await finish(id)).toEqual([])
  })

  it('is not missed when the last two end at the same instant', async () => {
    const { id, items } = await batchOf(2)
    const locked = items.map((item) => `'${item}'`).join(',')
    await seed.collide(
      `SELECT 1 FROM generations WHERE id IN (${locked}) FOR UPDATE`,
      items.map((item) => async () => {
        await cancel(item)
        await finish(id)
      }),
    )
    expect(await eventsOf(id)).toHaveLength(1)
  })

  it('does not deadlock when several are finished in opposite orders', async () => {
    const batches = await Promise.all([batchOf(1), batchOf(1), batchOf(1)])
    for (const { items } of batches) for (const item of items) await cancel(item)
    const ids = batches.map((batch) => batch.id)
    const locked = ids.map((id) => `'${id}'`).join(',')
    await seed.collide(`SELECT 1 FROM batches WHERE id IN (${locked}) FOR UPDATE`, [
      () => finish(...ids),
      () => finish(...[...ids].reverse()),
    ])
    for (const id of ids) expect(await eventsOf(id)).toHaveLength(1)
  })

  it('records the counts at its end; a late success changes those of the row, never those of the event', async () => {
    const { id, items } = await batchOf(2)
    const [first = '', second = ''] = items
    await cancel(first)
    await seed.sql('UPDATE generations SET admitted_at = now() WHERE id = $1', [second])
    const begun = await beginSubmission(seed.database, beginRequestFor(second), 'globalai', 1_000)
    if (begun.kind !== 'begun') throw new Error(begun.kind)
    const unknown = { kind: 'unknown', code: 'timeout', message: 'no answer', httpStatus: null } as const
    await recordOutcome(seed.database, begun.intent.submissionId, unknown, SETTLING)
    await finish(id)
    await recordOutcome(seed.database, begun.intent.submissionId, { kind: 'accepted', taskId: 'sora_b' }, SETTLING)
    expect(await finish(id)).toEqual([])

    const none = { queued: 0, submitting: 0, processing: 0, completed: 0, failed: 0, cancelled: 0 }
    expect((await countByStatus(seed.database, [id])).get(id)).toEqual({ ...none, processing: 1, cancelled: 1 })
    const [event, ...more] = await eventsOf(id)
    expect(more).toEqual([])
    const row = await readBatch(seed.database, id)
    expect(batchAtEvent(row, event?.data)).toMatchObject({
      counts: { ...none, failed: 1, cancelled: 1 },
      completed_at: row.completedAt?.toISOString(),
    })
  })

  it('of nothing, or of an unknown id, does nothing', async () => {
    expect(await finish()).toEqual([])
    expect(await finish('batch_none')).toEqual([])
  })
})

describe('moves of its generations', () => {
  it('never wait for the row of their batch, and never change it', async () => {
    const { id, items } = await batchOf(2)
    const before = await readBatch(seed.database, id)
    // A statement that needed the locked row would wait for ever, and the test would time out.
    await seed.holding(`SELECT 1 FROM batches WHERE id = '${id}' FOR NO KEY UPDATE`, async () => {
      for (const item of items) await cancel(item)
    })
    expect(await readBatch(seed.database, id)).toEqual(before)
    expect((await countByStatus(seed.database, [id])).get(id)).toMatchObject({ cancelled: 2 })
  })
})

describe('inserting a batch', () => {
  it('is all or nothing', async () => {
    const batch = newBatch()
    const rows = [1, 2].map((seconds) => newGeneration(seed.projectId, { batchId: batch.id, seconds }))
    const broken = newGeneration('prj_none', { batchId: batch.id })
    await expect(insertBatch(seed.database, batch, [rows, [broken]])).rejects.toThrow()
    expect(await findBatch(seed.database, seed.projectId, batch.id)).toBeNull()
    expect((await countByStatus(seed.database, [batch.id])).get(batch.id)).toMatchObject({ queued: 0 })
  })

  it('takes an idempotency key once from concurrent requests; the loser inserts nothing', async () => {
    const batches = [1, 2, 3].map(() => newBatch({ idempotencyKey: 'key', idempotencyHash: 'hash' }))
    const inserted = await seed.collide(
      'LOCK TABLE batches IN EXCLUSIVE MODE',
      batches.map((batch) => () => {
        return insertBatch(seed.database, batch, [[newGeneration(seed.projectId, { batchId: batch.id })]])
      }),
    )
    expect(inserted.filter(Boolean)).toHaveLength(1)
    const winner = await findBatchByIdempotencyKey(seed.database, seed.projectId, 'key')
    expect(batches[inserted.indexOf(true)]?.id).toBe(winner?.id)
    const counts = await countByStatus(
      seed.database,
      batches.map((batch) => batch.id),
    )
    expect([...counts.values()].map((count) => count.queued).sort()).toEqual([0, 0, 1])
  })
})
