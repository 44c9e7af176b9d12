// Forgets what ended long ago, in bounded steps: a generation goes with its ledger, its events and their deliveries, a batch
// after the last of its generations.

import { idBefore } from '../domain/ids.ts'
import type { Database, Sql } from './database.ts'
import { Prisma } from './generated/client.ts'
import { claimStorable, isStorable } from './unstorable.ts'

const DAY_MS = 24 * 3_600_000

/**
 * Deletes up to `limit` generations that ended more than `days` ago and owe nothing, and as many batches; those of an open batch
 * stay. Safe from several workers at once.
 * @param nowMs by the database's clock or not: a day more or less is no matter
 * @returns how many generations and batches
 */
export async function forgetEnded(
  database: Database,
  days: number,
  limit: number,
  nowMs: number,
): Promise<{ generations: number; batches: number }> {
  const before = Prisma.sql`now() - ${days} * interval '1 day'`
  // Ids ascend with age: nothing younger is even looked at.
  const generations = (among: Prisma.Sql) => Prisma.sql`
    SELECT id FROM generations g
    WHERE id < ${idBefore('generation', nowMs - days * DAY_MS)} AND finished_at < ${before} AND due_at IS NULL
      AND (slot_until IS NULL OR slot_until < now())
      AND (batch_id IS NULL OR EXISTS (SELECT 1 FROM batches WHERE batches.id = g.batch_id AND completed_at < ${before}))
      AND NOT ${owesDelivery(Prisma.sql`events.generation_id = g.id`)} AND ${isStorable('g.id')} ${among}
    ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`
  const batches = (among: Prisma.Sql) => Prisma.sql`
    SELECT id FROM batches b
    WHERE id < ${idBefore('batch', nowMs - days * DAY_MS)} AND completed_at < ${before}
      AND NOT EXISTS (SELECT 1 FROM generations WHERE generations.batch_id = b.id OFFSET 0)
      AND NOT ${owesDelivery(Prisma.sql`events.batch_id = b.id`)} AND ${isStorable('b.id')} ${among}
    ORDER BY id LIMIT ${limit} FOR UPDATE SKIP LOCKED`
  // Tests of endpoints, and that they were disabled.
  const events = (among: Prisma.Sql) => Prisma.sql`
    SELECT id FROM events WHERE endpoint_id IS NOT NULL AND created_at < ${before}
      AND NOT EXISTS (SELECT 1 FROM deliveries WHERE deliveries.event_id = events.id AND deliveries.state = 'pending' OFFSET 0)
      AND ${isStorable('events.id')} ${among}
    LIMIT ${limit} FOR UPDATE SKIP LOCKED`
  const forget = (pick: (among: Prisma.Sql) => Prisma.Sql, act: (tx: Sql, ids: readonly string[]) => Promise<void>) =>
    claimStorable(database, 'forget', pick, (picked) => forgetPicked(database, picked, act))
  const forgottenBatches = await forget(batches, forgetBatches)
  const forgotten = await forget(generations, forgetGenerations)
  await forget(events, forgetEvents)
  return { generations: forgotten.length, batches: forgottenBatches.length }
}

async function forgetPicked(
  { prisma }: Database,
  picked: Prisma.Sql,
  act: (tx: Sql, ids: readonly string[]) => Promise<void>,
): Promise<string[]> {
  return await prisma.$transaction(async (tx) => {
    const ids = (await tx.$queryRaw<{ id: string }[]>`${picked}`).map((row) => row.id)
    if (ids.length > 0) await act(tx, ids)
    return ids
  })
}

async function forgetGenerations(tx: Sql, ids: readonly string[]): Promise<void> {
  await forgetEvents(tx, await eventsOf(tx, Prisma.sql`generation_id = ANY (${ids}::text[])`))
  await tx.$executeRaw`DELETE FROM submissions WHERE generation_id = ANY (${ids}::text[])`
  await tx.$executeRaw`DELETE FROM generations WHERE id = ANY (${ids}::text[])`
}

async function forgetBatches(tx: Sql, ids: readonly string[]): Promise<void> {
  await forgetEvents(tx, await eventsOf(tx, Prisma.sql`batch_id = ANY (${ids}::text[])`))
  await tx.$executeRaw`DELETE FROM batches WHERE id = ANY (${ids}::text[])`
}

async function eventsOf(tx: Sql, which: Prisma.Sql): Promise<string[]> {
  return (await tx.$queryRaw<{ id: string }[]>`SELECT id FROM events WHERE ${which}`).map((event) => event.id)
}

/** OFFSET 0: looked up row by row. Joined, all that is pending may be read for each of them. */
const owesDelivery = (which: Prisma.Sql) => Prisma.sql`EXISTS (
  SELECT 1 FROM events JOIN deliveries ON deliveries.event_id = events.id WHERE ${which} AND deliveries.state = 'pending' OFFSET 0)`

/** Events with their deliveries and their attempts. */
async function forgetEvents(tx: Sql, ids: readonly string[]): Promise<void> {
  await tx.$executeRaw`
    DELETE FROM delivery_attempts WHERE delivery_id = ANY (ARRAY(SELECT id FROM deliveries WHERE event_id = ANY (${ids}::text[])))`
  await tx.$executeRaw`DELETE FROM deliveries WHERE event_id = ANY (${ids}::text[])`
  await tx.$executeRaw`DELETE FROM events WHERE id = ANY (${ids}::text[])`
}
