// How rows become jobs, and how long jobs are kept.

import { createHash } from 'node:crypto'
import type { JobsOptions } from 'bullmq'
import type { RowToEnqueue } from '../domain/row-to-enqueue.ts'
import type { JobData, QueueBackend } from './queue-backend.ts'

/** Rows enqueued at the same moment share a job. */
export const ROWS_PER_JOB = 5

/**
 * A single attempt: reconcile enqueues the row again, and the failed job stays visible for the operator. Retained jobs block nothing,
 * because job ids never repeat.
 */
export function retentionOn(backend: QueueBackend): JobsOptions {
  return {
    // On Postgres every ending job would search for jobs to remove, and workers would block each other.
    removeOnComplete: backend.name === 'postgres' ? true : { count: 100, age: 3_600 },
    removeOnFail: { count: 1_000, age: 7 * 24 * 3_600 },
  }
}

/** Part of the job id: a retained job of another group with the same first row must not suppress the new job. */
export const hashOf = (rows: readonly RowToEnqueue[]) =>
  createHash('sha1')
    .update(rows.map(({ id, dispatchCount }) => `${id}.${dispatchCount}`).join())
    .digest('hex')

/** How many rows the jobs carry. */
export const rowsOf = (jobs: readonly NewJob[]) => jobs.reduce((sum, { data }) => sum + 1 + (data.also?.length ?? 0), 0)

export type NewJob = { name: string; data: JobData; opts: JobsOptions }
