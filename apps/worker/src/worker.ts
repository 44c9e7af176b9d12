// Builds the worker: one consumer for each queue, and the timers of reconcile and retention.

import { createAfterCommit } from '@reelqueue/shared/after-commit'
import type { Upstream } from '@reelqueue/shared/providers/port'
import { type Consumer, consume, type StepOutcome } from '@reelqueue/shared/queues/consumer'
import type { QueueBackend } from '@reelqueue/shared/queues/queue-backend'
import type { QueueName, Queues } from '@reelqueue/shared/queues/queues'
import { createCaution } from './caution.ts'
import { countAnswers } from './count-answers.ts'
import { createDeliveryTurns } from './delivery-turns.ts'
import type { StepDeps } from './deps.ts'
import { createOrigins } from './origins.ts'
import { createPollSchedules } from './poll-schedules.ts'
import { createPollWindow } from './poll-window.ts'
import { createRenderNotes } from './render-notes.ts'
import { createRunNotes } from './run-notes.ts'
import { complete } from './steps/complete.ts'
import { deliver } from './steps/deliver.ts'
import { finishBatch } from './steps/finish-batch.ts'
import { runPoller } from './steps/poll.ts'
import { probeForever } from './steps/probe.ts'
import { purgeForever } from './steps/purge.ts'
import { reconcileForever } from './steps/reconcile.ts'
import { submit } from './steps/submit.ts'

/**
 * Concurrent jobs of each queue, each job with up to five rows. Submit jobs mostly wait for the provider; deliver jobs
 * only hand on the delivery.
 */
const CONCURRENCY: Readonly<Record<QueueName, number>> = {
  submit: 40,
  poll: 2,
  complete: 20,
  deliver: 40,
  maintain: 2,
}

export interface RunningWorker {
  /** Takes no more work, waits for running work, and hands back the rest. */
  close(): Promise<void>
}

/** Starts the worker. Without an upstream nothing is submitted or polled; the other steps run. */
export function startWorker(
  given: Omit<StepDeps, 'afterCommit'> & {
    readonly queues: Queues
    /** Asks for a run of admission; returns at once. */
    readonly admit: () => void
  },
  backend: QueueBackend,
  upstream: Upstream | null,
): RunningWorker {
  const stopping = new AbortController()
  const renders = createRenderNotes(given)
  const { queues, admit } = given
  const deps = { ...given, afterCommit: createAfterCommit({ queues, admit, noteRender: renders.note }) }
  const onError = (error: Error) => deps.log.warn({ event: 'queue.error', err: error.message })
  const consumers: Consumer[] = []
  /** Waits for the last writes after every consumer has stopped. */
  const stopped: (() => Promise<void>)[] = []
  const runs = createRunNotes(given)
  const onFailure = (step: QueueName, id: string, error: unknown) =>
    deps.log.error({ event: 'step.failed', step, id, err: error })
  const start = (queue: QueueName, run: (id: string) => Promise<StepOutcome>) => {
    const logged = async (id: string) => {
      if (queue === 'submit' || queue === 'deliver') runs.note(queue)
      try {
        return await run(id)
      } catch (error) {
        onFailure(queue, id, error)
        throw error
      }
    }
    const later = (id: string, delayMs: number) => queues.enqueueLater(queue, id, delayMs)
    consumers.push(consume({ backend, queue, concurrency: CONCURRENCY[queue], run: logged, later, onError }))
  }

  const timers = [
    reconcileForever(deps, stopping.signal),
    purgeForever(deps, stopping.signal),
    renders.recordForever(stopping.signal),
  ]
  if (upstream) {
    const schedules = createPollSchedules(deps, upstream.name, deps.settings.poll.known)
    const counting = countAnswers(upstream, deps)
    const caution = createCaution(counting.upstream, stopping.signal)
    const paying = { ...deps, upstream: caution.upstream, isProven: caution.isProven, scheduleOf: schedules.of }
    timers.push(counting.recordForever(stopping.signal))
    timers.push(schedules.refreshForever(stopping.signal), probeForever(paying, stopping.signal))
    start('submit', (id) => caution.run(() => submit(paying, id)))
    const window = createPollWindow(paying, stopping.signal)
    start('poll', (id) => runPoller({ ...paying, window }, id, stopping.signal))
    stopped.push(() => window.idle())
  }
  start('complete', (id) => complete(deps, id))
  const delivering = { ...deps, origins: createOrigins() }
  const turns = createDeliveryTurns((id, error) => onFailure('deliver', id, error), stopping.signal)
  start('deliver', (id) => deliver(delivering, turns, id, stopping.signal))
  stopped.push(async () => {
    for (const id of await turns.idle()) queues.enqueueAgain('deliver', id)
  })
  // Recorded at the start: a step whose first job never arrives counts as stalled as well.
  for (const step of upstream ? (['submit', 'deliver'] as const) : (['deliver'] as const)) runs.note(step)
  start('maintain', (id) => finishBatch(deps, id))

  return {
    async close() {
      stopping.abort()
      await Promise.all([...timers, runs.idle(), ...consumers.map((consumer) => consumer.close())])
      await Promise.all(stopped.map((idle) => idle()))
    },
  }
}
