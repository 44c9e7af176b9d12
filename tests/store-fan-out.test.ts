// Delayed fan-out of a large change: noted events, deliveries created by pages, two processes sharing the work without
// duplicates, and an unstorable event that stops no other event.

import { newId } from '@reelqueue/contract/terms/ids'
import { ENQUEUED_PER_ORIGIN, fanOutPage, nextToFanOut } from '@reelqueue/shared/store/deliveries/fan-out'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { moveGenerations } from '@reelqueue/shared/store/lifecycle/moves'
import { findUnstorable } from '@reelqueue/shared/store/unstorable'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { openClient } from './support/database.ts'
import { purgeEnded } from './support/history.ts'
import { type Seed, seedDatabase } from './support/seed.ts'

let seed: Seed
beforeEach(async () => {
  seed = await seedDatabase()
})
afterEach(() => seed.close())

async function endpoints(...urls: string[]): Promise<void> {
  await seed.database.prisma.webhookEndpoint.createMany({
    data: urls.map((url) => ({
      id: newId('endpoint'),
      projectId: seed.projectId,
      url,
      eventTypes: ['generation.cancelled'],
      secret: 'sealed',
    })),
  })
}
async function cancelled(count: number, fields: Parameters<Seed['queued']>[0] = {}): Promise<string[]> {
  const ids: string[] = []
  for (let n = 0; n < count; n++) ids.push(await seed.queued(fields))
  const set = Prisma.sql`due_at = NULL`
  const moved = await moveGenerations(seed.database.prisma, ids, 'cancel', { set, fanOut: 'later' })
  expect(moved.map((one) => one.deliveryIds)).toEqual(ids.map(() => []))
  return ids
}
const page = (rows = 100) => fanOutPage(seed.database, seed.projectId, rows)
const eventOf = (generationId: string) =>
  seed.database.prisma.event.findFirstOrThrow({ where: { generationId, type: 'generation.cancelled' } })
const noted = () => seed.database.prisma.pendingFanOut.count()
const delivered = async () => {
  const rows = await seed.database.prisma.delivery.findMany({ include: { event: true } })
  return rows.map((row) => `${row.event.generationId} ${row.url}`).toSorted()
}

it('notes the events that have a receiver, and the pages create each delivery once', async () => {
  await cancelled(2)
  expect(await noted()).toBe(0)
  await endpoints('https://a.example/1', 'https://b.example/2')
  const both = await cancelled(3, { webhookUrl: 'https://a.example/1' })
  expect([await noted(), await delivered()]).toEqual([3, []])
  expect(await nextToFanOut(seed.database, '')).toBe(seed.projectId)

  expect((await page(2)).events).toBe(2)
  const second = await page(2)
  expect(second.events).toBe(1)
  expect(second.deliveryIds).toHaveLength(2)
  expect(await page(2)).toEqual({ events: 0, deliveryIds: [] })
  expect(await nextToFanOut(seed.database, '')).toBeNull()
  // A URL named by an endpoint and by the generation gets a single delivery.
  expect(await delivered()).toEqual(
    both.flatMap((id) => [`${id} https://a.example/1`, `${id} https://b.example/2`]).toSorted(),
  )
})

it('enqueues few deliveries for each server', async () => {
  await endpoints('https://a.example/1', 'https://a.example/2', 'https://b.example/1')
  await cancelled(ENQUEUED_PER_ORIGIN)
  const { deliveryIds } = await page()
  expect(deliveryIds).toHaveLength(2 * ENQUEUED_PER_ORIGIN)
  expect(await delivered()).toHaveLength(3 * ENQUEUED_PER_ORIGIN)
})

it('is shared by two processes, and skips locked rows', async () => {
  await endpoints('https://a.example/1')
  const ids = await cancelled(200)
  const pages = await Promise.all([page(60), page(60), page(60), page(60)])
  expect(pages.reduce((sum, one) => sum + one.events, 0)).toBe(200)
  expect(await delivered()).toEqual(ids.map((id) => `${id} https://a.example/1`).toSorted())

  const [held = ''] = await cancelled(2)
  const holder = await openClient(seed.url)
  await holder.query('BEGIN')
  await holder.query('SELECT 1 FROM pending_fan_outs WHERE id = $1 FOR UPDATE', [(await eventOf(held)).id])
  expect((await page()).events).toBe(1)
  await holder.query('ROLLBACK')
  await holder.end()
  expect((await page()).events).toBe(1)
  expect(await noted()).toBe(0)
})

it('leaves an event whose delivery Postgres refuses, notes it, and creates those of all others', async () => {
  await endpoints('https://a.example/1')
  const [broken = '', ...others] = await cancelled(20)
  const event = await eventOf(broken)
  await seed.sql(
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'broken'; END $$`,
  )
  await seed.sql(
    `CREATE TRIGGER broken BEFORE INSERT ON deliveries FOR EACH ROW WHEN (NEW.event_id = '${event.id}') EXECUTE FUNCTION refuse()`,
  )
  expect((await page()).events).toBe(19)
  expect(await delivered()).toEqual(others.map((id) => `${id} https://a.example/1`).toSorted())
  expect(await findUnstorable(seed.database, event.id)).toMatchObject({ statement: 'fan_out', failures: 1 })
  // Not retried at once, and not blocking reconcile.
  expect([(await page()).events, await nextToFanOut(seed.database, '')]).toEqual([0, null])
  await seed.sql('DROP TRIGGER broken ON deliveries')
  await seed.sql('UPDATE unstorable_rows SET retry_at = now()')
  expect((await page()).events).toBe(1)
  expect(await delivered()).toHaveLength(20)
})

it('a generation whose event waits for its fan-out is not purged', async () => {
  await endpoints('https://a.example/1')
  const [id = ''] = await cancelled(1)
  await seed.sql(`UPDATE generations SET finished_at = finished_at - interval '100 days'`)
  const later = Date.now() + 100 * 24 * 3_600_000
  await purgeEnded(seed.database, 90, 100, later)
  expect(await seed.database.prisma.generation.count({ where: { id } })).toBe(1)
  await page()
  await seed.sql(`UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL`)
  await purgeEnded(seed.database, 90, 100, later)
  expect(await seed.database.prisma.generation.count({ where: { id } })).toBe(0)
})
