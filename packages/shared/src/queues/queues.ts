// The five queues and the only way to add to them. A job is a hint: it carries an id, and losing it is legal,
// because reconcile finds the row. So adding is never awaited by those who reply to somebody.

import type { JobsOptions } from 'bullmq'
import { withTimeout } from '../runtime/clock.ts'
import type { JobData, JobQueue, QueueBackend } from './backend.ts'

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
  /** Asks, once for many calls, for a look at whether these batches have ended. */
  wakeBatches(ids: readonly string[]): void
  /** Wakes what moves owe: their deliveries, and the batches that they may have ended. */
  wakeOwed(moved: readonly Owed[]): void
  /** How many jobs of a queue wait to be taken up. Rejects when its server does not answer. */
  backlog(queue: QueueName): Promise<number>
  close(): Promise<void>
}

/** Jobs added in one round trip. */
const CHUNK = 1_000
/** Wake-ups kept while the backend is slow; beyond it they are dropped, and reconcile does them later. */
const PENDING_MAX = 20_000
const ADD_TIMEOUT_MS = 5_000

/**
 * One attempt: reconcile wakes the row anew, and the failed job stays for the operator to see. Kept jobs block nothing,
 * because their ids never come again.
 */
const RETENTION: JobsOptions = {
  removeOnComplete: { count: 100, age: 3_600 },
  removeOnFail: { count: 1_000, age: 7 * 24 * 3_600 },
}

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

  function enqueue(name: QueueName, jobs: readonly NewJob[]): void {
    if (jobs.length === 0) return
    const waiting = pending.get(name) ?? []
    const room = Math.max(0, PENDING_MAX - waiting.length)
    waiting.push(...jobs.slice(0, room))
    pending.set(name, waiting)
    if (jobs.length > room) onDropped(name, jobs.length - room, 'too many wake-ups are waiting')
    if (!flushing.has(name))
      flushing.set(
        name,
        flush(name).finally(() => flushing.delete(name)),
      )
  }

  async function flush(name: QueueName): Promise<void> {
    // A turn of the event loop gathers what concurrent requests want to wake.
    await new Promise(setImmediate)
    for (;;) {
      const jobs = pending.get(name)?.splice(0, CHUNK) ?? []
      if (jobs.length === 0) return
      try {
        // BullMQ's `add` hangs, instead of failing, while Redis has never been reachable.
        await withTimeout(queues[name].addBulk(jobs), ADD_TIMEOUT_MS, `queue ${name}`)
      } catch (cause) {
        onDropped(name, jobs.length, cause)
      }
    }
  }

  const wake: Queues['wake'] = (name, wakeUps) =>
    enqueue(
      name,
      wakeUps.map(({ id, wakes }) => ({ name, data: { id }, opts: { jobId: `${id}.${wakes}` } })),
    )
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

  return {
    queues,
    wake,
    wakeBatches,
    wakeOwed(moved) {
      wake(
        'deliver',
        moved.flatMap((move) => move.deliveryIds.map((id) => ({ id, wakes: 0 }))),
      )
      wakeBatches(moved.flatMap((move) => move.batchId ?? []))
    },
    backlog(name) {
      return withTimeout(queues[name].getJobCountByTypes('waiting'), ADD_TIMEOUT_MS, `queue ${name}`)
    },
    async close() {
      await Promise.all(flushing.values())
      await Promise.all(Object.values(queues).map((queue) => queue.close()))
    },
  }
}

function construct(name: QueueName, backend: QueueBackend, onError: (error: Error) => void): JobQueue {
  const queue = backend.createQueue(name, { defaultJobOptions: RETENTION, streams: { events: { maxLen: 100 } } })
  queue.on('error', onError)
  return queue
}
