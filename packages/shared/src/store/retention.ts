// Forgets what ended long ago, in bounded steps: a generation goes with its ledger, its events and their deliveries, a batch
// after the last of its generations.

import { idBefore } from '../domain/ids.ts'
import type { Database, Sql } from './database.ts'
import { Prisma } from './generated/client.ts'

const DAY_MS = 24 * 3_600_000

/**
 * Deletes up to `limit` generations that ended more than `days` ago and owe nothing, and as many batches; those of an open batch
 * stay. Safe from several workers at once.
 * @param nowMs by the database's clock or not: a day more or less is no matter
 * @returns how many generations and batches
 */
export async function forgetEnded(
  { prisma }: Database,
  days: number,
  limit: number,
  nowMs: number,
): Promise<{ generations: number; batches: number }> {
  const before = Prisma.sql`now() - ${days} * interval '1 day'`
  return await prisma.$transaction(async (tx) => {
    // Ids ascend with age: nothing younger is even looked at.
    const generations = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM generations g
      WHERE id < ${idBefore('generation', nowMs - days * DAY_MS)} AND finished_at < ${before} AND due_at IS NULL
        AND (slot_until IS NULL OR slot_until < now())
        AND (batch_id IS NULL OR EXISTS (SELECT 1 FROM batches WHERE batches.id = g.batch_id AND completed_at < ${before}))
        AND NOT ${owesDelivery(Prisma.sql`events.generation_id = g.id`)}
      ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`
    const batches = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM batches b
      WHERE id < ${idBefore('batch', nowMs - days * DAY_MS)} AND completed_at < ${before}
        AND NOT EXISTS (SELECT 1 FROM generations WHERE generations.batch_id = b.id OFFSET 0)
        AND NOT ${owesDelivery(Prisma.sql`events.batch_id = b.id`)}
      ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`
    const [generationIds, batchIds] = [generations, batches].map((rows) => rows.map((row) => row.id))
    // Each by its own index: for the two in one condition there is none.
    const events = await tx.$queryRaw<{ id: string }[]>`
      SELECT id FROM events WHERE generation_id = ANY (${generationIds}::text[])
      UNION ALL SELECT id FROM events WHERE batch_id = ANY (${batchIds}::text[])`
    await forgetEvents(tx, events)
    await tx.$executeRaw`DELETE FROM submissions WHERE generation_id = ANY (${generationIds}::text[])`
    await tx.$executeRaw`DELETE FROM generations WHERE id = ANY (${generationIds}::text[])`
    await tx.$executeRaw`DELETE FROM batches WHERE id = ANY (${batchIds}::text[])`
    await forgetEndpointEvents(tx, before, limit)
    return { generations: generations.length, batches: batches.length }
  })
}

/** OFFSET 0: looked up row by row. Joined, all that is pending may be read for each of them. */
const owesDelivery = (which: Prisma.Sql) => Prisma.sql`EXISTS (
  SELECT 1 FROM events JOIN deliveries ON deliveries.event_id = events.id WHERE ${which} AND deliveries.state = 'pending' OFFSET 0)`

/** Events with their deliveries and their attempts. */
async function forgetEvents(tx: Sql, events: readonly { readonly id: string }[]): Promise<void> {
  const ids = events.map((event) => event.id)
  await tx.$executeRaw`
    DELETE FROM delivery_attempts WHERE delivery_id = ANY (ARRAY(SELECT id FROM deliveries WHERE event_id = ANY (${ids}::text[])))`
  await tx.$executeRaw`DELETE FROM deliveries WHERE event_id = ANY (${ids}::text[])`
  await tx.$executeRaw`DELETE FROM events WHERE id = ANY (${ids}::text[])`
}

/** Tests of endpoints, and that they were disabled. */
async function forgetEndpointEvents(tx: Sql, before: Prisma.Sql, limit: number): Promise<void> {
  const rows = await tx.$queryRaw<{ id: string }[]>`
    SELECT id FROM events WHERE endpoint_id IS NOT NULL AND created_at < ${before}
      AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.state = 'pending' OFFSET 0)
    LIMIT ${limit} FOR UPDATE SKIP LOCKED`
  if (rows.length > 0) await forgetEvents(tx, rows)
}
