// What is going on, in numbers: of what is open now, never of the history.

import type { Database } from './database.ts'

export interface OpenWork {
  /** Queued, without a slot. */
  readonly waiting: number
  /** With a slot, by status. */
  readonly queued: number
  readonly submitting: number
  readonly processing: number
  /** Slots kept for renders that are not the generation's own any more. */
  readonly lateSlots: number
  /** Deliveries that have neither succeeded nor been given up. */
  readonly deliveries: number
  readonly openBatches: number
}

/** Each is the length of a partial index. */
export async function countOpenWork({ prisma }: Database): Promise<OpenWork> {
  const [row] = await prisma.$queryRaw<OpenWork[]>`
    SELECT waiting.count AS waiting, slots.*, late.count AS "lateSlots", pending.count AS deliveries, open.count AS "openBatches"
    FROM (SELECT count(*)::int FROM generations WHERE status = 'queued' AND admitted_at IS NULL) AS waiting,
      (SELECT count(*) FILTER (WHERE status = 'queued')::int AS queued, count(*) FILTER (WHERE status = 'submitting')::int AS submitting,
        count(*) FILTER (WHERE status = 'processing')::int AS processing
       FROM generations WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')) AS slots,
      (SELECT count(*)::int FROM generations WHERE slot_until > now() AND slot_until IS NOT NULL) AS late,
      (SELECT count(*)::int FROM deliveries WHERE state = 'pending') AS pending,
      (SELECT count(*)::int FROM batches WHERE completed_at IS NULL) AS open`
  if (!row) throw new Error('counts without a row')
  return row
}
