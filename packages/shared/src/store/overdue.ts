// What reconcile looks for: rows whose wake-up was lost. Claims are bounded pages, safe from several workers at once.

import { owedStep } from '../domain/owed-step.ts'
import type { Status } from '../domain/status.ts'
import { ALL_ENDED } from './batches.ts'
import type { Database } from './database.ts'
import { Prisma } from './generated/client.ts'

/** How long a row is left alone after it was woken: longer each time, up to two minutes. */
const GRACE = Prisma.raw(`least(15 * 2 ^ least(wakes, 3), 120) * interval '1 second'`)

/** A job's id is made of the row's id and its number of wake-ups: a job that was kept cannot block the next one. */
export interface WakeUp {
  readonly id: string
  readonly wakes: number
}

export interface OverdueGenerations {
  readonly submit: readonly WakeUp[]
  readonly complete: readonly WakeUp[]
}

/** Claims up to `limit` overdue generations outside the polling lanes, and says which step each is to be woken for. */
export async function claimOverdueGenerations({ prisma }: Database, limit: number): Promise<OverdueGenerations> {
  const rows = await prisma.$queryRaw<(WakeUp & { status: Status; hasAnswer: boolean })[]>`
    UPDATE generations
    SET wakes = wakes + 1, due_at = now() + ${GRACE}
    WHERE id = ANY (ARRAY(
      SELECT id FROM generations
      WHERE due_at <= now() AND due_at IS NOT NULL AND (status IN ('queued', 'submitting') OR answer IS NOT NULL)
      ORDER BY due_at LIMIT ${limit} FOR UPDATE SKIP LOCKED))
    RETURNING id, wakes, status::text, answer IS NOT NULL AS "hasAnswer"`
  return {
    submit: rows.filter((row) => owedStep(row) === 'submit'),
    complete: rows.filter((row) => owedStep(row) === 'complete'),
  }
}

/** Claims up to `limit` deliveries whose next attempt is due. */
export async function claimOverdueDeliveries({ prisma }: Database, limit: number): Promise<WakeUp[]> {
  return await prisma.$queryRaw<WakeUp[]>`
    UPDATE deliveries SET wakes = wakes + 1, due_at = now() + ${GRACE}
    WHERE id = ANY (ARRAY(
      SELECT id FROM deliveries WHERE state = 'pending' AND due_at <= now() ORDER BY due_at LIMIT ${limit} FOR UPDATE SKIP LOCKED))
    RETURNING id, wakes`
}

/** Ids of up to `limit` batches whose generations have all ended without anyone noticing. */
export async function endedBatches({ prisma }: Database, limit: number): Promise<string[]> {
  const rows = await prisma.$queryRaw<{ id: string }[]>`
    SELECT b.id FROM batches b WHERE b.completed_at IS NULL AND ${ALL_ENDED} ORDER BY b.id LIMIT ${limit}`
  return rows.map((row) => row.id)
}
