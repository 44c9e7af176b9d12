// Turns a step's outcome into BullMQ's terms, so that no step knows BullMQ.

import { type Job, WaitingError } from 'bullmq'
import { withTimeout } from '../runtime/clock.ts'
import type { JobData, QueueBackend } from './backend.ts'
import type { QueueName } from './queues.ts'

export type StepOutcome =
  | { readonly kind: 'done' }
  /** Nothing could be done yet: to run again after `delayMs`. */
  | { readonly kind: 'later'; readonly delayMs: number }

export interface ConsumerOptions {
  readonly backend: QueueBackend
  readonly queue: QueueName
  /** Jobs of this queue that this process works on at once. */
  readonly concurrency: number
  readonly run: (id: string) => Promise<StepOutcome>
  /** Hears what is to run again, and in how long: the job itself has ended then. */
  readonly later: (id: string, delayMs: number) => void
  readonly onError: (error: Error) => void
}

/** A running consumer. */
export interface Consumer {
  /** Takes no more jobs and resolves when those under way have ended. */
  close(): Promise<void>
}

/** How long BullMQ may take to put its affairs in order: with its server away it would never end. */
const CLOSE_TIMEOUT_MS = 5_000

/** Starts to consume a queue. A run that throws leaves a failed job for the operator to see; reconcile tries again. */
export function consume({ backend, queue, concurrency, run, later, onError }: ConsumerOptions): Consumer {
  const running = new Set<Promise<unknown>>()
  let closing = false

  async function process(job: Job<JobData>, token?: string): Promise<void> {
    if (closing) {
      // BullMQ fetched it in the very moment of the stop: nothing is begun any more, another worker does it.
      await job.moveToWait(token)
      throw new WaitingError()
    }
    const { id, also = [] } = job.data
    const runs = await Promise.allSettled([id, ...also].map(runOne))
    // The others of its job have ended then: only this one failed.
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
