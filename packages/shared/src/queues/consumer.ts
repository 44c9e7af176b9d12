// Translates the outcome of a step into BullMQ's terms, so that no step imports BullMQ.

import { type Job, WaitingError } from 'bullmq'
import { withTimeout } from '../runtime/clock.ts'
import type { JobData, QueueBackend } from './queue-backend.ts'
import type { QueueName } from './queues.ts'

export type StepOutcome =
  | { readonly kind: 'done' }
  /** Nothing could be done yet: run again after `delayMs`. */
  | { readonly kind: 'later'; readonly delayMs: number }

export interface ConsumerOptions {
  readonly backend: QueueBackend
  readonly queue: QueueName
  /** Jobs of this queue that the process works on at once. */
  readonly concurrency: number
  readonly run: (id: string) => Promise<StepOutcome>
  /** Receives the row to run again and the delay; the job itself has then ended. */
  readonly later: (id: string, delayMs: number) => void
  readonly onError: (error: Error) => void
}

/** A running consumer. */
export interface Consumer {
  /** Takes no more jobs, and resolves when the running jobs have ended. */
  close(): Promise<void>
}

/** How long closing BullMQ may take: while the server is away, closing would never end. */
const CLOSE_TIMEOUT_MS = 5_000

/** Starts to consume a queue. A throwing run leaves a failed job for the operator; reconcile tries again. */
export function consume({ backend, queue, concurrency, run, later, onError }: ConsumerOptions): Consumer {
  const running = new Set<Promise<unknown>>()
  let closing = false

  async function process(job: Job<JobData>, token?: string): Promise<void> {
    if (closing) {
      // BullMQ fetched the job at the moment of the stop: the job goes back to the queue for another worker.
      await job.moveToWait(token)
      throw new WaitingError()
    }
    const { id, also = [] } = job.data
    const runs = await Promise.allSettled([id, ...also].map(runOne))
    // The other rows of the job have ended; only this row failed.
    for (const one of runs) if (one.status === 'rejected') throw one.reason
  }

  async function runOne(id: string): Promise<void> {
    const outcome = await run(id)
    if (outcome.kind === 'later') later(id, outcome.delayMs)
  }

  const processor = async (job: Job<JobData>, token?: string): Promise<void> => {
    const processing = process(job, token)
    running.add(processing)
    try {
      await processing
    } finally {
      running.delete(processing)
    }
  }
  const worker = backend.createWorker(queue, processor, { concurrency })
  worker.on('error', onError)
  return {
    async close() {
      closing = true
      const closed = worker.close()
      await Promise.allSettled(running)
      await withTimeout(closed, CLOSE_TIMEOUT_MS, `queue ${queue}`).catch(onError)
    },
  }
}
