// Purges history that ended long ago: a generation with its ledger, its events and their deliveries; a batch after the
// last of its generations. Three kinds of rows are read in the order of an index, in pages with a transaction each, so
// that the cost of a page does not grow with the rows that must stay.

import { idBefore } from '@reelqueue/contract/terms/ids'
import type { Database, Sql } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'

const DAY_MS = 24 * 3_600_000
/** The longest wait of a page for a locked row. The row goes in a later sweep. */
const LOCK_WAIT_MAX_MS = 200

/** The age limit: ended more than `days` ago. `nowMs` may be hours wrong: it is only compared with ids. */
export interface Age {
  readonly days: number
  readonly nowMs: number
}

export interface HistoryKind {
  readonly name: 'generations' | 'batches' | 'endpointEvents'
  /**
   * The last of up to `rows` rows after `after` ('' is the beginning); null when no row follows that may be old enough.
   */
  readonly lastOfPage: (database: Database, age: Age, after: string, rows: number) => Promise<string | null>
  /**
   * Deletes the expired rows after `after` up to `last`, in one transaction. A row that is locked, or that Postgres
   * refuses to delete, stays and blocks no other row. Safe with several workers: each worker skips the rows that
   * another worker deletes.
   * @returns the number of deleted rows
   */
  readonly purge: (database: Database, age: Age, after: string, last: string) => Promise<number>
}

/** Batches come after generations, because a batch goes when it has no generation left. */
export const HISTORY: readonly HistoryKind[] = [
  {
    name: 'generations',
    lastOfPage: lastById('generations', 'generation'),
    purge: (database, age, after, last) =>
      purge(database, (among) => oldGenerations(age, after, last, among), purgeGenerations),
  },
  {
    name: 'batches',
    lastOfPage: lastById('batches', 'batch'),
    purge: (database, age, after, last) =>
      purge(database, (among) => oldBatches(age, after, last, among), purgeBatches),
  },
  {
    name: 'endpointEvents',
    lastOfPage: lastEndpointEvent,
    purge: (database, age, after, last) =>
      purge(database, (among) => oldEndpointEvents(age, after, last, among), purgeEvents),
  },
]

const before = ({ days }: Age) => Prisma.sql`now() - ${days} * interval '1 day'`

function lastById(table: 'generations' | 'batches', noun: 'generation' | 'batch'): HistoryKind['lastOfPage'] {
  return async ({ prisma }, { days, nowMs }, after, rows) => {
    // Ids ascend with time: no younger row is read.
    const [page] = await prisma.$queryRaw<{ last: string | null }[]>(sql.named('findLastById')`
      SELECT max(id) AS last
      FROM (
        SELECT id
        FROM ${Prisma.raw(table)}
        WHERE id > ${after} AND id < ${idBefore(noun, nowMs - days * DAY_MS)}
        ORDER BY id
        LIMIT ${rows}
      ) page`)
    return page?.last ?? null
  }
}

/** A position among the events of endpoints is an endpoint's id and a sequence number, as in the index. */
async function lastEndpointEvent({ prisma }: Database, _age: Age, after: string, rows: number): Promise<string | null> {
  const [event] = await prisma.$queryRaw<{ last: string }[]>(sql.named('findLastEndpointEvent')`
    SELECT endpoint_id || ' ' || sequence AS last
    FROM (
      SELECT endpoint_id, sequence
      FROM events
      WHERE endpoint_id IS NOT NULL AND (endpoint_id, sequence) > ${placeOf(after)}
      ORDER BY endpoint_id, sequence
      LIMIT ${rows}
    ) page
    ORDER BY endpoint_id DESC, sequence DESC
    LIMIT 1`)
  return event?.last ?? null
}

function placeOf(place: string): Prisma.Sql {
  const [endpointId = '', sequence = '0'] = place.split(' ')
  return Prisma.sql`(${endpointId}, ${Number(sequence)}::int)`
}

const oldGenerations = (age: Age, after: string, last: string, among: Prisma.Sql) => Prisma.sql`
  SELECT id
  FROM generations g
  WHERE id > ${after}
    AND id <= ${last}
    AND finished_at < ${before(age)}
    AND due_at IS NULL
    AND (slot_until IS NULL OR slot_until < now())
    AND (
      batch_id IS NULL
      OR EXISTS (
        SELECT 1
        FROM batches
        WHERE batches.id = g.batch_id AND completed_at < ${before(age)}
        OFFSET 0
      )
    )
    AND NOT ${hasPendingDelivery(Prisma.sql`events.generation_id = g.id`)}
    AND ${isStorable('g.id')} ${among}
  ORDER BY id
  FOR UPDATE SKIP LOCKED`

const oldBatches = (age: Age, after: string, last: string, among: Prisma.Sql) => Prisma.sql`
  SELECT id
  FROM batches b
  WHERE id > ${after}
    AND id <= ${last}
    AND completed_at < ${before(age)}
    AND NOT EXISTS (SELECT 1 FROM generations WHERE generations.batch_id = b.id OFFSET 0)
    AND NOT ${hasPendingDelivery(Prisma.sql`events.batch_id = b.id`)}
    AND ${isStorable('b.id')} ${among}
  ORDER BY id
  FOR UPDATE SKIP LOCKED`

/** Events of endpoints: tests, and disabling. */
const oldEndpointEvents = (age: Age, after: string, last: string, among: Prisma.Sql) => Prisma.sql`
  SELECT id
  FROM events
  WHERE endpoint_id IS NOT NULL
    AND (endpoint_id, sequence) > ${placeOf(after)}
    AND (endpoint_id, sequence) <= ${placeOf(last)}
    AND created_at < ${before(age)}
    AND NOT ${HAS_PENDING}
    AND ${isStorable('events.id')} ${among}
  ORDER BY endpoint_id, sequence
  FOR UPDATE SKIP LOCKED`

/**
 * `next_attempt_at` is set exactly while a delivery is pending. With a condition on `state`, the planner may read the
 * index of all pending deliveries for each event. OFFSET 0: looked up row by row, for the same reason.
 */
const HAS_PENDING = Prisma.sql`
  (
    EXISTS (
      SELECT 1
      FROM deliveries
      WHERE deliveries.event_id = events.id AND deliveries.next_attempt_at IS NOT NULL
      OFFSET 0
    )
    OR EXISTS (
      SELECT 1
      FROM pending_fan_outs noted
      WHERE noted.project_id = events.project_id AND noted.id = events.id
      OFFSET 0
    )
  )`
const hasPendingDelivery = (which: Prisma.Sql) =>
  Prisma.sql`EXISTS (SELECT 1 FROM events WHERE ${which} AND ${HAS_PENDING} OFFSET 0)`

async function purge(
  database: Database,
  pick: (among: Prisma.Sql) => Prisma.Sql,
  act: (tx: Sql, ids: readonly string[]) => Promise<void>,
): Promise<number> {
  const purged = await claimStorable(database, 'purge', pick, (picked) =>
    database.prisma.$transaction(async (tx) => {
      await tx.$executeRaw(sql.named('setLockTimeout')`
        SELECT set_config('lock_timeout', ${String(LOCK_WAIT_MAX_MS)}, true)`)
      const ids = await idsOf(tx, picked)
      if (ids.length > 0) await act(tx, ids)
      return ids
    }),
  )
  return purged.length
}

async function purgeGenerations(tx: Sql, ids: readonly string[]): Promise<void> {
  await purgeEvents(
    tx,
    await idsOf(
      tx,
      Prisma.sql`
        SELECT id
        FROM events
        WHERE generation_id = ANY (${ids}::text[])`,
    ),
  )
  await tx.$executeRaw(sql.named('deleteSubmissions')`
    DELETE FROM submissions
    WHERE generation_id = ANY (${ids}::text[])`)
  await tx.$executeRaw(sql.named('deleteGenerations')`
    DELETE FROM generations
    WHERE id = ANY (${ids}::text[])`)
}

async function purgeBatches(tx: Sql, ids: readonly string[]): Promise<void> {
  await purgeEvents(
    tx,
    await idsOf(
      tx,
      Prisma.sql`
        SELECT id
        FROM events
        WHERE batch_id = ANY (${ids}::text[])`,
    ),
  )
  await tx.$executeRaw(sql.named('deleteBatches')`
    DELETE FROM batches
    WHERE id = ANY (${ids}::text[])`)
}

/** Deletes events with their deliveries and the attempts of the deliveries. */
async function purgeEvents(tx: Sql, ids: readonly string[]): Promise<void> {
  await tx.$executeRaw(sql.named('deleteAttempts')`
    DELETE FROM delivery_attempts
    WHERE delivery_id = ANY (ARRAY(SELECT id FROM deliveries WHERE event_id = ANY (${ids}::text[])))`)
  await tx.$executeRaw(sql.named('deleteDeliveries')`
    DELETE FROM deliveries
    WHERE event_id = ANY (${ids}::text[])`)
  await tx.$executeRaw(sql.named('deleteEvents')`
    DELETE FROM events
    WHERE id = ANY (${ids}::text[])`)
}

async function idsOf(tx: Sql, query: Prisma.Sql): Promise<string[]> {
  return (await tx.$queryRaw<{ id: string }[]>(sql.named('pickForgotten')`${query}`)).map((row) => row.id)
}
