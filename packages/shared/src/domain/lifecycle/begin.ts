// Whether a generation is submitted now: decided again before each payment, under the row lock.

import { currentOf, previousTasks, type Snapshot } from './snapshot.ts'

export type Beginning =
  | { readonly kind: 'begin' }
  /** Nothing to submit: the generation is cancelled, done, or not admitted. */
  | { readonly kind: 'moved_on' }
  /** A submission is under way, or its back-off is not over. */
  | { readonly kind: 'wait'; readonly waitMs: number }
  /** The lease of the open submission ended without an outcome: the outcome is unknown. */
  | { readonly kind: 'expired'; readonly submissionId: string }
  /** Nothing is submitted now. The generation waits again: without a slot if it is queued. */
  | { readonly kind: 'held' }
  /** The provider accepted this task for a previous attempt: it is asked about before another payment. */
  | { readonly kind: 'ask_first'; readonly taskId: string }

export interface BeginContext {
  /** The gate is closed, the project is paused, or the batch is being cancelled. */
  readonly isHeld: boolean
  /** Tasks of previous attempts that the caller has asked about without success. */
  readonly askedTaskIds: readonly string[]
}

/**
 * INVARIANT: no submission begins while another one is open, and none before every remembered task of a previous attempt
 * was asked about.
 */
export function beginning(snapshot: Snapshot, { isHeld, askedTaskIds }: BeginContext): Beginning {
  const { status, attempt, sinceAdmittedMs, waitMs } = snapshot
  const current = currentOf(snapshot)
  if (status === 'submitting') {
    if (waitMs !== null && waitMs > 0) return { kind: 'wait', waitMs }
    if (current?.state === 'started') return { kind: 'expired', submissionId: current.id }
  } else if (status !== 'queued' || sinceAdmittedMs === null) {
    return { kind: 'moved_on' }
  }
  if (isHeld) return { kind: 'held' }
  const previous = previousTasks(snapshot).find(
    (row) => row.attempt < attempt && row.taskId !== null && !askedTaskIds.includes(row.taskId),
  )
  return previous?.taskId ? { kind: 'ask_first', taskId: previous.taskId } : { kind: 'begin' }
}
