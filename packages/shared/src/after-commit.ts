// The one place for what follows a commit. A step or a route commits, then describes here once what the commit did. Nothing
// here waits or throws. A job that is lost afterwards only delays its row: the row stays due, and reconcile enqueues it again.

import { isTerminal } from '@reelqueue/contract/terms/status'
import type { RowToEnqueue } from './domain/row-to-enqueue.ts'
import type { Queues } from './queues/queues.ts'
import type { Moved } from './store/lifecycle/moves.ts'

/** What a commit did; a part that is absent did not happen. */
export interface Committed {
  /** Moves of generations, as the store returned them. */
  readonly moved?: readonly Moved[]
  /** Generations whose end was recorded by polling: their render times belong to the statistics. */
  readonly rendered?: readonly { readonly id: string }[]
  /** Deliveries that were created for events of batches and endpoints; `moved` has those of generations. */
  readonly deliveries?: readonly string[]
  /** Other rows that became due for a step, each with its dispatch count. */
  readonly due?: { readonly [step in 'submit' | 'complete' | 'deliver']?: readonly RowToEnqueue[] }
  /** A delivery whose next attempt is due within seconds. */
  readonly retry?: { readonly deliveryId: string; readonly delayMs: number }
  /** The commit is one page of a change of very many rows. After its last page the change itself checks the end of its batch. */
  readonly isPage?: true
  /** Apart from `moved`, the commit queued rows, freed slots, changed a limit or opened the gate. */
  readonly admissionDue?: boolean
  /** Apart from `moved`, a task became due for a poll. */
  readonly pollsDue?: boolean
}

/** Carries out what follows a commit; called after the commit, never inside the transaction. */
export type AfterCommit = (committed: Committed) => void

export interface AfterCommitPorts {
  readonly queues: Pick<Queues, 'enqueue' | 'enqueueBatches' | 'enqueueLater' | 'pollers'>
  /** Asks for a run of admission; returns at once. */
  readonly admit: () => void
  /** Notes a generation for the statistics of render times. */
  readonly noteRender: (generationId: string) => void
}

/** The queues as steps and routes see them. Only this file enqueues what a commit made due. */
export type AppQueues = Omit<Queues, 'enqueue' | 'enqueueBatches' | 'enqueueLater' | 'pollers'> & {
  readonly pollers: Pick<Queues['pollers'], 'seen'>
}

/** Deliveries enqueued after one page. The drain loop of each continues with its origin, and reconcile enqueues the rest. */
const DELIVERIES_PER_PAGE = 50

/** A new delivery has never been dispatched. Of many deliveries to one origin the store returns few (DELIVERIES_TO_ENQUEUE). */
const newDelivery = (id: string): RowToEnqueue => ({ id, dispatchCount: 0 })

export function createAfterCommit({ queues, admit, noteRender }: AfterCommitPorts): AfterCommit {
  return ({
    moved = [],
    rendered = [],
    deliveries = [],
    due = {},
    retry,
    isPage = false,
    admissionDue = false,
    pollsDue = false,
  }) => {
    const ended = moved.filter((move) => isTerminal(move.status))
    const created = [...moved.flatMap((move) => move.deliveryIds), ...deliveries]
    const enqueued = isPage ? created.slice(0, DELIVERIES_PER_PAGE) : created
    queues.enqueue('deliver', [...enqueued.map(newDelivery), ...(due.deliver ?? [])])
    queues.enqueue('submit', due.submit ?? [])
    queues.enqueue('complete', due.complete ?? [])
    if (retry) queues.enqueueLater('deliver', retry.deliveryId, retry.delayMs)
    if (!isPage) queues.enqueueBatches(ended.flatMap((move) => move.batchId ?? []))
    for (const { id } of rendered) noteRender(id)
    // The end of a generation frees its slot, and a queued one waits for a slot.
    if (admissionDue || ended.length > 0 || moved.some((move) => move.status === 'queued')) admit()
    if (pollsDue || moved.some((move) => move.status === 'processing')) queues.pollers.start()
  }
}
