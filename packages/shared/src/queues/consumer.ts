// Turns a step's outcome into BullMQ's terms, so that no step knows BullMQ.

import { DelayedError, type Job } from 'bullmq'
import type { JobData, QueueBackend } from './backend.ts'
import type { QueueName } from './queues.ts'

export type StepOutcome =
  | { readonly kind: 'done' }
  /** Nothing could be done yet: run this job again after `delayMs`. */
  | { readonly kind: 'later'; readonly delayMs: number }

export interface ConsumerOptions {
  readonly backend: QueueBackend
  readonly queue: QueueName
  /** Jobs of this queue that this process works on at once. */
  readonly concurrency: number
  readonly run: (id: string) => Promise<StepOutcome>
  readonly onError: (error: Error) => void
}

/** A running consumer. */
export interface Consumer {
  /** Takes no more jobs and resolves when those under way have ended. */
  close(): Promise<void>
}

/** Starts to consume a queue. A run that throws leaves a failed job for the operator to see; reconcile tries again. */
export function consume({ backend, queue, concurrency, run, onError }: ConsumerOptions): Consumer {
  const processor = async (job: Job<JobData>, token?: string): Promise<void> => {
    const outcome = await run(job.data.id)
    if (outcome.kind === 'later') {
      await job.moveToDelayed(Date.now() + Math.max(outcome.delayMs, 1), token)
      throw new DelayedError()
    }
  }
  const worker = backend.createWorker(queue, processor, { concurrency })
  worker.on('error', onError)
  return { close: () => worker.close() }
}
