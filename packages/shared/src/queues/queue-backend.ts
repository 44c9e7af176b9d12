// What a queue backend offers, and how both backends construct BullMQ objects.

import {
  type BackendFactory,
  type ConnectionOptions,
  type IQueueBackend,
  type JobProgress,
  type Processor,
  Queue,
  type QueueOptions,
  Worker,
} from 'bullmq'
import { LOOK_SECONDS, waitPatiently } from './job-wait.ts'

export interface JobData {
  readonly id: string
  /** Further rows enqueued at the same moment: one job for a few rows costs a fraction of one job per row. */
  readonly also?: readonly string[]
}

export type JobQueue = Queue<JobData, void, string, JobData, void, string, IQueueBackend>

export type JobWorker = Worker<JobData, void, string, IQueueBackend, JobProgress>

export interface QueueBackend {
  readonly name: 'redis' | 'postgres'
  /** A queue whose commands fail fast while the server is away. */
  createQueue(name: string, options: Omit<QueueOptions, 'connection' | 'prefix'>): JobQueue
  /** A worker whose commands wait until the server is back. */
  createWorker(name: string, processor: Processor<JobData, void>, options: { readonly concurrency: number }): JobWorker
  /** Resolves when jobs can be added and moved; rejects with the server's message when the server is away or refuses writes. */
  ping(): Promise<void>
  /** A few texts kept beside the queues; null where queues and tables share a database. */
  readonly notes: {
    read(key: string): Promise<string | null>
    write(key: string, text: string): Promise<void>
  } | null
  close(): Promise<void>
}

/** The braces keep all keys of a queue in one hash slot of a Redis Cluster. Postgres ignores the prefix. */
export const PREFIX = '{reelqueue}'

/** A worker's connection is closed after this long without an answer; longer than any blocking command of a worker. */
export const SILENCE_MAX_MS = 15_000

export function constructors(factory: BackendFactory, producer: ConnectionOptions, consumer: ConnectionOptions) {
  const place = { prefix: PREFIX }
  return {
    createQueue: (name, options): JobQueue =>
      new Queue<JobData, void, string, JobData, void, string, IQueueBackend>(
        name,
        { ...options, ...place, connection: producer },
        factory,
      ),
    createWorker: (name, processor, options): JobWorker => {
      const closing = new AbortController()
      const worker = new Worker<JobData, void, string, IQueueBackend>(
        name,
        processor,
        { ...options, ...place, connection: consumer, drainDelay: LOOK_SECONDS },
        (...args) => waitPatiently(factory(...args), closing.signal),
      )
      worker.on('closing', () => closing.abort())
      return worker
    },
  } satisfies Pick<QueueBackend, 'createQueue' | 'createWorker'>
}
