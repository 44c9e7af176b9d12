// The five queues, and the only way to add jobs. A job is a hint: a job carries the id of a row, and a lost job is legal, because reconcile
// finds the row. So no reply to a caller waits until a job is added.

import type { RowToEnqueue } from '../domain/row-to-enqueue.ts'
import { withTimeout } from '../runtime/clock.ts'
import { hashOf, type NewJob, ROWS_PER_JOB, retentionOn, rowsOf } from './job-groups.ts'
import { createPollerStarter, type PollerStarter } from './poller-starter.ts'
import type { JobQueue, QueueBackend } from './queue-backend.ts'

/** A queue for each step; `maintain` for work beyond a single generation (the ends of batches). */
export const QUEUE_NAMES = ['submit', 'poll', 'complete', 'deliver', 'maintain'] as const

export type QueueName = (typeof QUEUE_NAMES)[number]

export interface Queues {
  readonly queues: Readonly<Record<QueueName, JobQueue>>
  /** Adds jobs soon, in few round trips. Never waits and never fails: jobs that cannot be added are dropped and reported. */
  enqueue(queue: 'submit' | 'complete' | 'deliver', rows: readonly RowToEnqueue[]): void
  /** Enqueues a row even while another job for the row is waiting or scheduled. */
  enqueueAgain(queue: QueueName, id: string): void
  /** Enqueues a row after `delayMs`; the latest call for a row counts. When the process ends before, reconcile finds the row. */
  enqueueLater(queue: QueueName, id: string, delayMs: number): void
  /** Requests a check whether these batches have ended; many calls share a check. */
  enqueueBatches(ids: readonly string[]): void
  /** Controls the pollers, which rest while no poll is due soon. */
  readonly pollers: Pick<PollerStarter, 'start' | 'seen'>
  /** How many jobs of a queue wait to be taken or to be added. Rejects when the server of the queue does not answer. */
  backlog(queue: QueueName): Promise<number>
  /** Whether jobs were dropped since the last call. */
  takeDropped(): boolean
  /** Restores the mark of dropped jobs after a failed recovery. */
  returnDropped(): void
  close(): Promise<void>
}

/** Jobs added in one round trip. */
const CHUNK = 1_000

/** Rows kept in memory while the backend is slow; rows beyond the bound are dropped and left to reconcile. */
const PENDING_MAX = 20_000

const ADD_TIMEOUT_MS = 5_000

const TOO_MANY = 'too many jobs wait to be added'

/** Constructs the queues on `backend`. `onDropped` receives the number of rows that could not be enqueued, and the cause. */
export function openQueues(
  backend: QueueBackend,
  onError: (error: Error) => void,
  onDropped: (queue: QueueName, count: number, cause: unknown) => void,
): Queues {
  const queues = Object.fromEntries(QUEUE_NAMES.map((name) => [name, construct(name, backend, onError)])) as Record<
    QueueName,
    JobQueue
  >
  const pending = new Map<QueueName, NewJob[]>()
  const flushing = new Map<QueueName, Promise<void>>()
  const timers = new Map<string, NodeJS.Timeout>()
  let dropped = false

  function drop(name: QueueName, count: number, cause: unknown): void {
    dropped = true
    onDropped(name, count, cause)
  }

  function addJobs(name: QueueName, jobs: readonly NewJob[]): void {
    if (jobs.length === 0) return
    const waiting = pending.get(name) ?? []
    const room = PENDING_MAX - rowsOf(waiting)
    let [fitting, rows] = [0, 0]
    for (const job of jobs) {
      rows += rowsOf([job])
      if (rows > room) break
      fitting++
    }
    waiting.push(...jobs.slice(0, fitting))
    pending.set(name, waiting)
    if (fitting < jobs.length) drop(name, rowsOf(jobs.slice(fitting)), TOO_MANY)
    if (!flushing.has(name)) flushing.set(name, flush(name))
  }

  async function flush(name: QueueName): Promise<void> {
    // A turn of the event loop gathers the rows of concurrent requests.
    await new Promise(setImmediate)
    for (;;) {
      const jobs = pending.get(name)?.splice(0, CHUNK) ?? []
      if (jobs.length === 0) {
        // In the same tick as the empty read: a job added later starts a new flush.
        flushing.delete(name)
        return
      }
      try {
        // BullMQ's `add` hangs, instead of failing, while Redis has never been reachable.
        await withTimeout(queues[name].addBulk(jobs), ADD_TIMEOUT_MS, `queue ${name}`)
      } catch (cause) {
        // Jobs behind the failed chunk would fail too, and each chunk would take the whole timeout again.
        drop(name, rowsOf(jobs) + rowsOf(pending.get(name)?.splice(0) ?? []), cause)
      }
    }
  }

  const enqueue: Queues['enqueue'] = (name, rows) => {
    const jobs: NewJob[] = []
    for (let at = 0; at < rows.length; at += ROWS_PER_JOB) {
      const [first, ...others] = rows.slice(at, at + ROWS_PER_JOB)
      if (!first) break
      const { id, dispatchCount } = first
      const data = others.length > 0 ? { id, also: others.map((one) => one.id) } : { id }
      jobs.push({
        name,
        data,
        opts: { jobId: `${id}.${dispatchCount}${others.length > 0 ? `-${hashOf(others)}` : ''}` },
      })
    }
    addJobs(name, jobs)
  }
  const enqueueBatches: Queues['enqueueBatches'] = (ids) =>
    addJobs(
      'maintain',
      [...new Set(ids)].map((id) => ({
        name: 'finish-batch',
        data: { id },
        // Many generations of a batch end at once; one check after the last end is enough.
        opts: { deduplication: { id, keepLastIfActive: true } },
      })),
    )

  const pollers = createPollerStarter(() =>
    addJobs('poll', [{ name: 'look', data: { id: 'look' }, opts: { removeOnComplete: true, removeOnFail: true } }]),
  )

  function enqueueAgain(name: QueueName, id: string): void {
    // No jobId: BullMQ ignores an add whose id belongs to a retained job.
    addJobs(name, [{ name, data: { id }, opts: {} }])
  }

  /**
   * A timer and not a delayed job: on Postgres, workers promoting due delayed jobs at the same time deadlock (seen on BullMQ 6.7), which
   * stalls the queue for seconds and loses outcomes of jobs.
   */
  function enqueueLater(name: QueueName, id: string, delayMs: number): void {
    const key = `${name} ${id}`
    clearTimeout(timers.get(key))
    if (!timers.has(key) && timers.size >= PENDING_MAX) {
      drop(name, 1, TOO_MANY)
      return
    }
    const enqueueNow = () => {
      timers.delete(key)
      enqueueAgain(name, id)
    }
    // An extra millisecond: a timer may fire a fraction early, and the row would not be due.
    timers.set(key, setTimeout(enqueueNow, Math.ceil(delayMs) + 1).unref())
  }

  return {
    queues,
    enqueue,
    enqueueAgain,
    enqueueLater,
    enqueueBatches,
    pollers,
    async backlog(name) {
      // Counted by priority (there is only priority 0): counts by state miss the jobs of a paused queue on Postgres.
      const counting = queues[name].getCountsPerPriority([0])
      const { 0: count = 0 } = await withTimeout(counting, ADD_TIMEOUT_MS, `queue ${name}`)
      return count + (pending.get(name)?.length ?? 0)
    },
    takeDropped() {
      const had = dropped
      dropped = false
      return had
    },
    returnDropped() {
      dropped = true
    },
    async close() {
      pollers.close()
      for (const timer of timers.values()) clearTimeout(timer)
      await Promise.all(flushing.values())
      await Promise.all(Object.values(queues).map((queue) => queue.close()))
    },
  }
}

function construct(name: QueueName, backend: QueueBackend, onError: (error: Error) => void): JobQueue {
  const queue = backend.createQueue(name, {
    defaultJobOptions: retentionOn(backend),
    streams: { events: { maxLen: 100 } },
  })
  queue.on('error', onError)
  return queue
}
