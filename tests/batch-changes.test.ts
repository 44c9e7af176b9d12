// Cancelling a batch and changing the priority proceed in pages behind a mark: the mark takes effect at once, locked
// rows come later, two processes do not disturb each other, and another process finishes an interrupted change.

import { batchJson } from '@reelqueue/contract/wire/batch'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { markCancelled, markPriority } from '@reelqueue/shared/store/lifecycle/batch-changes'
import { beginSubmission, beginSubmissions } from '@reelqueue/shared/store/lifecycle/submissions'
import { findUnstorable } from '@reelqueue/shared/store/unstorable'
import { expect, it } from 'vitest'
import { clientOf, generationOf, MINIMAL, type Reply, startApi } from './support/api.ts'
import { openClient, runSql } from './support/database.ts'
import { openSubmission, startGeneration } from './support/endings.ts'
import { beginRequestFor } from './support/seed.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi()
const { prisma } = app.database

const batchOf = (reply: Reply) => batchJson.strict().parse(JSON.parse(reply.text))
const read = async (id: string) => batchOf(await client.get(`/v1/batches/${id}`))
const idsOf = async (batchId: string) => {
  const rows = await prisma.generation.findMany({ where: { batchId }, orderBy: { id: 'asc' }, select: { id: true } })
  return rows.map((row) => row.id)
}
async function accept(count: number) {
  const items = Array.from({ length: count }, (_, index) => ({ ...MINIMAL, custom_id: `item-${index}` }))
  const { id } = batchOf(await client.post('/v1/batches', { items }))
  return { id, ids: await idsOf(id) }
}
const isEnded = async (id: string) => (await read(id)).status === 'completed'

/** Holds a row lock, like a slow transaction of another client. */
async function hold(id: string): Promise<() => Promise<void>> {
  const holder = await openClient(database.url)
  await holder.query('BEGIN')
  await holder.query('SELECT 1 FROM generations WHERE id = $1 FOR UPDATE', [id])
  return async () => {
    await holder.query('COMMIT')
    await holder.end()
  }
}

it('from the mark on, nothing that is queued is admitted or submitted, and readers see it', async () => {
  const { id, ids } = await accept(6)
  const [first = '', second = '', , , , submitting = ''] = ids
  await openSubmission(app.database, submitting)
  await prisma.generation.updateMany({
    where: { id: { notIn: [first, second, submitting] } },
    data: { admittedAt: null },
  })
  expect(await markCancelled(app.database, id, false)).toBe(true)

  const batch = await read(id)
  expect(batch).toMatchObject({ status: 'cancelling', counts: { queued: 5, submitting: 1, cancelled: 0 } })
  expect(batch).not.toHaveProperty('estimate')
  const shown = generationOf(await client.get(`/v1/generations/${first}`))
  expect(shown).toMatchObject({ status: 'queued', cancel_requested_at: expect.any(String) })
  // The submitting generation continues.
  expect(generationOf(await client.get(`/v1/generations/${submitting}`)).cancel_requested_at).toBeNull()
  const { data } = JSON.parse((await client.get(`/v1/generations?batch_id=${id}`)).text)
  expect(data.filter((one: { cancel_requested_at: string | null }) => one.cancel_requested_at !== null)).toHaveLength(5)

  expect((await admitGenerations(app.database, CONFIGURED, 100)).admitted).toEqual([])
  expect(await beginSubmissions(app.database, [beginRequestFor(first)], 'test', 60_000)).toEqual([null])
  expect(await beginSubmission(app.database, beginRequestFor(second), 'test', 60_000)).toEqual({ kind: 'held' })
  expect(await prisma.generation.findUnique({ where: { id: second } })).toMatchObject({ admittedAt: null, dueAt: null })

  expect(batchOf(await client.post(`/v1/batches/${id}/cancel`))).toMatchObject({
    status: 'in_progress',
    counts: { queued: 0, submitting: 1, cancelled: 5 },
  })
})

it('with what is rendering, nothing of it is submitted again, and what is accepted meanwhile is cancelled too', async () => {
  const { id, ids } = await accept(3)
  const [rendering = '', refused = ''] = ids
  await startGeneration(app.database, rendering)
  await openSubmission(app.database, refused)
  await prisma.submission.updateMany({ where: { generationId: refused }, data: { state: 'rejected' } })
  await markCancelled(app.database, id, true)
  expect(generationOf(await client.get(`/v1/generations/${rendering}`)).cancel_requested_at).not.toBeNull()
  expect((await beginSubmission(app.database, beginRequestFor(refused), 'test', 60_000)).kind).toBe('wait')
  await client.post(`/v1/batches/${id}/cancel`)
  expect((await read(id)).counts.cancelled).toBe(3)
})

it('a locked row comes later: the answer says that the change goes on, and counts add up', async () => {
  const { id, ids } = await accept(20)
  const release = await hold(ids[3] ?? '')
  const reply = await client.post(`/v1/batches/${id}/cancel`)
  expect(reply.status).toBe(202)
  expect(reply.headers.location).toBe(`/v1/batches/${id}`)
  expect(batchOf(reply)).toMatchObject({ status: 'cancelling', total: 20, counts: { queued: 1, cancelled: 19 } })
  await release()
  await until('the last one is cancelled', () => isEnded(id))
  const unmarked = { id, cancelRequestedAt: null, cancelRendering: false, changeUntil: null }
  await until('the mark is gone', async () => (await prisma.batch.count({ where: unmarked })) === 1)
})

it('another priority likewise, and the last that was asked for is the one that holds', async () => {
  const { id, ids } = await accept(20)
  const release = await hold(ids[3] ?? '')
  const reply = await client.patch(`/v1/batches/${id}`, { priority: 7 })
  expect(reply.status).toBe(202)
  expect(batchOf(reply).pending_priority).toBe(7)
  expect(await prisma.generation.count({ where: { batchId: id, priority: 7 } })).toBe(19)
  expect((await client.patch(`/v1/batches/${id}`, { priority: 9 })).status).toBe(202)
  await release()
  await until('all have it', async () => (await read(id)).pending_priority === undefined)
  expect(await prisma.generation.count({ where: { batchId: id, priority: 9 } })).toBe(20)
})

it('two processes at once make one event for each generation, one delivery for each of its URLs, and one end', async () => {
  const other = await startTestApp({ databaseUrl: database.url, api: true })
  const urls = ['https://hooks.invalid/1', 'https://hooks.invalid/2', 'https://hooks.invalid/3']
  for (const url of urls) expect((await client.post('/v1/webhook_endpoints', { url })).status).toBe(201)
  const { id } = await accept(1_500)
  const acts = [client, clientOf(other.url, other.key)].flatMap((one) => [
    one.post(`/v1/batches/${id}/cancel`),
    one.post(`/v1/batches/${id}/cancel`, { rendering: 'cancel' }),
    one.patch(`/v1/batches/${id}`, { priority: 1 }),
  ])
  for (const { status } of await Promise.all(acts)) expect([200, 202]).toContain(status)
  await until('all are cancelled', () => isEnded(id))
  await until('their deliveries exist', async () => (await prisma.pendingFanOut.count()) === 0)
  await other.close()
  const [row] = await runSql<Record<string, number>>(
    database.url,
    `SELECT count(DISTINCT e.generation_id)::int AS generations, count(DISTINCT e.id)::int AS events, count(d.id)::int AS deliveries,
      (SELECT count(*)::int FROM events WHERE batch_id = '${id}') AS ends
    FROM events e JOIN generations g ON g.id = e.generation_id LEFT JOIN deliveries d ON d.event_id = e.id
    WHERE g.batch_id = '${id}' AND e.type = 'generation.cancelled'`,
  )
  expect(row).toEqual({ generations: 1_500, events: 1_500, deliveries: 4_500, ends: 1 })
  await prisma.webhookEndpoint.updateMany({ data: { disabledAt: new Date() } })
})

it('what a process left is taken over once its lease has run out, and not before', async () => {
  const { id } = await accept(10)
  await markPriority(app.database, id, 3)
  await markCancelled(app.database, id, false)
  await prisma.batch.update({ where: { id }, data: { changeUntil: new Date(Date.now() + 3_600_000) } })
  await app.context.changer.takeOver()
  await app.context.changer.idle()
  expect((await read(id)).status).toBe('cancelling')
  await prisma.batch.update({ where: { id }, data: { changeUntil: new Date(Date.now() - 1) } })
  await app.context.changer.takeOver()
  await app.context.changer.idle()
  expect(await read(id)).toMatchObject({ status: 'completed', counts: { cancelled: 10 } })
  expect(await read(id)).not.toHaveProperty('pending_priority')
})

it('a row that cannot be written keeps no other from being cancelled', async () => {
  const { id, ids } = await accept(150)
  const broken = ids[40] ?? ''
  await runSql(
    database.url,
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'this row is broken'; END $$;
    CREATE TRIGGER broken BEFORE UPDATE ON generations FOR EACH ROW WHEN (OLD.id = '${broken}') EXECUTE FUNCTION refuse()`,
  )
  expect((await client.post(`/v1/batches/${id}/cancel`)).status).toBe(202)
  await until('all others are cancelled', async () => (await read(id)).counts.cancelled === 149)
  expect((await read(id)).status).toBe('cancelling')
  // The row is noted as unstorable, and skipped for a while.
  expect(await findUnstorable(app.database, broken)).toMatchObject({ statement: 'change', failures: 1 })
  const takeOver = async () => {
    await app.context.changer.idle()
    await prisma.batch.update({ where: { id }, data: { changeUntil: null } })
    await app.context.changer.takeOver()
    await app.context.changer.idle()
  }
  await takeOver()
  expect(await findUnstorable(app.database, broken)).toMatchObject({ failures: 1 })
  await runSql(database.url, 'DROP TRIGGER broken ON generations; UPDATE unstorable_rows SET retry_at = now()')
  await takeOver()
  expect(await isEnded(id)).toBe(true)
})
