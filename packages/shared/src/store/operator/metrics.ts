// Numbers about open work, never about the history.

import type { PollsSeen } from '../../domain/refused-polls.ts'
import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

export interface OpenWork {
  /** Queued, without a slot. */
  readonly waiting: number
  /** With a slot, by status. */
  readonly queued: number
  readonly submitting: number
  readonly processing: number
  /** Slots kept for renders that are no longer the generation's own, by cause. */
  readonly lateSlots: KeptSlots
  /** Deliveries that have neither succeeded nor been given up. */
  readonly deliveries: number
  readonly openBatches: number
}

export interface KeptSlots {
  readonly unknown: number
  readonly cancelled: number
  readonly overdue: number
  /** Left behind by a retry. */
  readonly retried: number
  /** When the last kept slot is given back; null without kept slots. */
  readonly until: string | null
}

/** The number of kept slots for each cause. Reads the index of kept slots. */
const KEPT_SLOTS = Prisma.sql`
  SELECT jsonb_build_object(
    'unknown', count(*) FILTER (WHERE error_code = 'submission_unknown'),
    'cancelled', count(*) FILTER (WHERE status = 'cancelled'),
    'overdue', count(*) FILTER (
      WHERE status = 'failed' AND error_code IS DISTINCT FROM 'submission_unknown'
    ),
    'retried', count(*) FILTER (WHERE status NOT IN ('failed', 'cancelled')),
    'until', to_char(max(slot_until) AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
  ) AS kept
  FROM generations
  WHERE slot_until > now() AND slot_until IS NOT NULL`

/** The slots kept for renders that no generation waits for. */
export async function countKeptSlots({ prisma }: Database): Promise<KeptSlots> {
  const [row] = await prisma.$queryRaw<{ kept: KeptSlots }[]>(sql.named('countKeptSlots')`
    ${KEPT_SLOTS}`)
  if (!row) throw new Error('counts without a row')
  return row.kept
}

/** The maximum number of rows in flight that are read. */
const IN_FLIGHT_MAX = 1_000

/** The answers to the last polls of generations in flight. Reads up to a thousand rows. */
export async function readPollsSeen({ prisma }: Database): Promise<PollsSeen> {
  const [row] = await prisma.$queryRaw<PollsSeen[]>(sql.named('readPollsSeen')`
    SELECT count(*) FILTER (WHERE "isRefused" OR last_pending_at IS NOT NULL)::int AS asked,
      count(*) FILTER (WHERE "isRefused")::int AS refused,
      min(("lastPoll" ->> 'http_status')::int) FILTER (WHERE "isRefused") AS "httpStatus",
      coalesce(max(last_pending_at), min(submitted_at) FILTER (WHERE "isRefused")) AS since
    FROM (
      SELECT last_pending_at, submitted_at, last_poll AS "lastPoll",
        coalesce(last_poll ->> 'class' IN ('refused', 'not_found'), false) AS "isRefused"
      FROM (
        SELECT status, last_poll, last_pending_at, submitted_at
        FROM generations
        WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')
        LIMIT ${IN_FLIGHT_MAX}
      ) AS held
      WHERE status = 'processing'
    ) AS rendering`)
  if (!row) throw new Error('counts without a row')
  return row
}

/** Each number is the length of a partial index. */
export async function countOpenWork({ prisma }: Database): Promise<OpenWork> {
  const [row] = await prisma.$queryRaw<OpenWork[]>(sql.named('countOpenWork')`
    SELECT waiting.count AS waiting, slots.*, late.kept AS "lateSlots", pending.count AS deliveries,
      open.count AS "openBatches"
    FROM (
        SELECT count(*)::int
        FROM generations
        WHERE status = 'queued' AND admitted_at IS NULL
      ) AS waiting,
      (
        SELECT count(*) FILTER (WHERE status = 'queued')::int AS queued,
          count(*) FILTER (WHERE status = 'submitting')::int AS submitting,
          count(*) FILTER (WHERE status = 'processing')::int AS processing
        FROM generations
        WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')
      ) AS slots,
      (${KEPT_SLOTS}) AS late,
      (SELECT count(*)::int FROM deliveries WHERE state = 'pending') AS pending,
      (SELECT count(*)::int FROM batches WHERE completed_at IS NULL) AS open`)
  if (!row) throw new Error('counts without a row')
  return row
}
