// The five queues and the only way to add to them. A job is a hint: it carries an id, and losing it is legal,
// because reconcile finds the row. So adding is never awaited by those who reply to somebody.

import { createHash } from 'node:crypto'
import type { JobsOptions } from 'bullmq'
import { withTimeout } from '../runtime/clock.ts'
import type { JobData, JobQueue, QueueBackend } from './backend.ts'
import { createLaneWake, type LaneWake } from './lane-wake.ts'

/** One queue for each step; `maintain` for what concerns no single generation (the ends of batches). */
export const QUEUE_NAMES = ['submit', 'poll', 'complete', 'deliver', 'maintain'] as const
export type QueueName = (typeof QUEUE_NAMES)[number]

/** What to wake: the id of a row, and how often it was woken before (part of the job's id). */
export interface WakeUp {
  readonly id: string
  readonly wakes: number
}

/** What a move leaves to be done. */
export interface Owed {
  readonly batchId: string | null
  readonly deliveryIds: readonly string[]
}

export interface Queues {
  readonly queues: Readonly<Record<QueueName, JobQueue>>
  /** Adds jobs soon, in few round trips. Never waits, never fails: what cannot be added is dropped and reported. */
  wake(queue: 'submit' | 'complete' | 'deliver', wakeUps: readonly WakeUp[]): void
  /** As `wake`, for one row, even while another job for it is there or is to be added later. */
  wakeAgain(queue: QueueName, id: string): void
  /** Adds a job for a row after `delayMs`. Its latest call counts; one that this process does not live to see is reconcile's. */
  wakeLater(queue: QueueName, id: string, delayMs: number): void
  /** Asks, once for many calls, for a look at whether these batches have ended. */
  wakeBatches(ids: readonly string[]): void
  /** The lanes, which rest while nothing is to be polled soon. */
  readonly lanes: Pick<LaneWake, 'wake' | 'seen'>
  /** Wakes what moves owe: their deliveries, and the batches that they may have ended. */
  wakeOwed(moved: readonly Owed[]): void
  /** How many jobs of a queue wait to be taken up, or to be added. Rejects when its server does not answer. */
  backlog(queue: QueueName): Promise<number>
  /** Whether wake-ups were dropped since this was last asked. */
  takeDropped(): boolean
  /** Takes it back: what was to make up for them has failed. */
  returnDropped(): void
  close(): Promise<void>
}

/** Rows woken in the same moment that share a job. */
const ROWS_PER_JOB = 5
/** Jobs added in one round trip. */
const CHUNK = 1_000
/** Rows to be woken that are kept while the backend is slow; beyond it they are dropped, and reconcile does them later. */
const PENDING_MAX = 20_000
const ADD_TIMEOUT_MS = 5_000
const TOO_MANY = 'too many wake-ups are waiting'

/**
 * One attempt: reconcile wakes the row anew, and the failed job stays for the operator to see. Kept jobs block nothing,
 * because their ids never come again.
 */
function retentionOn(backend: QueueBackend): JobsOptions {
  return {
    // On Postgres every job that ends would look for others to remove, and workers get in each other's way.
    removeOnComplete: backend.name === 'postgres' ? true : { count: 100, age: 3_600 },
    removeOnFail: { count: 1_000, age: 7 * 24 * 3_600 },
  }
}

/** A job kept from another group that begins with the same row must not swallow this one. */
const hashOf = (wakeUps: readonly WakeUp[]) =>
  createHash('sha1')
    .update(wakeUps.map(({ id, wakes }) => `${id}.${wakes}`).join())
    .digest('hex')

/** How many rows these jobs are for. */
const rowsOf = (jobs: readonly NewJob[]) => jobs.reduce((sum, { data }) => sum + 1 + (data.also?.length ?? 0), 0)

type NewJob = { name: string; data: JobData; opts: JobsOptions }

/** Constructs the queues on `backend`. `onDropped` hears how many wake-ups of a queue could not be added, and why. */
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

  function enqueue(name: QueueName, jobs: readonly NewJob[]): void {
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
    // A turn of the event loop gathers what concurrent requests want to wake.
    await new Promise(setImmediate)
    for (;;) {
      const jobs = pending.get(name)?.splice(0, CHUNK) ?? []
      if (jobs.length === 0) {
        // In the same turn in which nothing was left: what comes after it starts anew.
        flushing.delete(name)
        return
      }
      try {
        // BullMQ's `add` hangs, instead of failing, while Redis has never been reachable.
        await withTimeout(queues[name].addBulk(jobs), ADD_TIMEOUT_MS, `queue ${name}`)
      } catch (cause) {
        // What waits behind it would fare no better, and each chunk would take this long again.
        drop(name, rowsOf(jobs) + rowsOf(pending.get(name)?.splice(0) ?? []), cause)
      }
    }
  }

  const wake: Queues['wake'] = (name, wakeUps) => {
    const jobs: NewJob[] = []
    for (let at = 0; at < wakeUps.length; at += ROWS_PER_JOB) {
      const [first, ...others] = wakeUps.slice(at, at + ROWS_PER_JOB)
      if (!first) break
      const { id, wakes } = first
      const data = others.length > 0 ? { id, also: others.map((one) => one.id) } : { id }
      jobs.push({ name, data, opts: { jobId: `${id}.${wakes}${others.length > 0 ? `-${hashOf(others)}` : ''}` } })
    }
    enqueue(name, jobs)
  }
  const wakeBatches: Queues['wakeBatches'] = (ids) =>
    enqueue(
      'maintain',
      [...new Set(ids)].map((id) => ({
        name: 'finish-batch',
        data: { id },
        // Many generations of a batch end at once; one look after the last of them is enough.
        opts: { deduplication: { id, keepLastIfActive: true } },
      })),
    )

  const lanes = createLaneWake(() =>
    enqueue('poll', [{ name: 'look', data: { id: 'look' }, opts: { removeOnComplete: true, removeOnFail: true } }]),
  )

  function wakeAgain(name: QueueName, id: string): void {
    // Without an id of its own: that of the job before it is taken while that one is kept.
    enqueue(name, [{ name, data: { id }, opts: {} }])
  }

  /**
   * A timer and not a delayed job: on Postgres, workers that promote due delayed jobs at once run into deadlocks (seen on
   * BullMQ 6.7), which stall the queue for seconds and lose what becomes of jobs.
   */
  function wakeLater(name: QueueName, id: string, delayMs: number): void {
    const key = `${name} ${id}`
    clearTimeout(timers.get(key))
    if (!timers.has(key) && timers.size >= PENDING_MAX) {
      drop(name, 1, TOO_MANY)
      return
    }
    const wakeThen = () => {
      timers.delete(key)
      wakeAgain(name, id)
    }
    // A millisecond more: a timer may be early by a part of one, and the row would not be due.
    timers.set(key, setTimeout(wakeThen, Math.ceil(delayMs) + 1).unref())
  }

  return {
    queues,
    wake,
    wakeAgain,
    wakeLater,
    wakeBatches,
    lanes,
    wakeOwed(moved) {
      wake(
        'deliver',
        moved.flatMap((move) => move.deliveryIds.map((id) => ({ id, wakes: 0 }))),
      )
      wakeBatches(moved.flatMap((move) => move.batchId ?? []))
    },
    async backlog(name) {
      // By priority, of which there is one: counted by state, the jobs of a paused queue on Postgres do not wait.
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
      lanes.close()
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
