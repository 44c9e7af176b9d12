// What the store writes for one decision, as data. A field that is absent leaves its column unchanged.

import type { MoveName } from '@reelqueue/contract/terms/status'
import type { Cost, TerminalAnswer } from '../terminal-answer.ts'
import type { Kept } from './outcome.ts'
import type { LedgerRow } from './snapshot.ts'

/** Changes of the generation's row. Durations count from now. */
export interface RowChanges {
  readonly currentSubmissionId?: string
  readonly taskId?: string | null
  /**
   * The render of the current submission's task begins for the row: `submission` at the start of the submission;
   * `adoption` now, for the deadline; `seen` at the start of the submission, but polls of the same task still count.
   */
  readonly renderFrom?: 'submission' | 'adoption' | 'seen'
  /** When the row is due again; null: never. */
  readonly dueMs?: number | null
  /** How long a slot is kept for a render that no caller waits for; null gives the slot back. */
  readonly slotMs?: number | null
  /** Like `slotMs`, unless the slot is kept longer already. */
  readonly slotAtLeastMs?: number
  readonly isCharged?: true
  /** False: the generation waits for admission again. */
  readonly isAdmitted?: boolean
  /** A new dispatch count: a job kept from before must not swallow the next job. */
  readonly isDispatchedAnew?: true
  readonly attempt?: number
  readonly error?: { readonly code: string; readonly message: string } | null
  readonly answer?: TerminalAnswer | null
  readonly cost?: Cost | null
  readonly isCancelRequested?: true
}

/** A change of one submission. */
export interface LedgerChange {
  readonly id: string
  readonly state?: Exclude<LedgerRow['state'], 'started'>
  readonly taskId?: string | null
  readonly httpStatus?: number | null
  readonly error?: { readonly code: string; readonly message: string } | null
  /** The earliest time of the next submission. */
  readonly retryMs?: number | null
  readonly reply?: Kept
  readonly isAdopted?: boolean
  readonly hasRenderFailed?: boolean
}

/** A new row for a task that no submission of the ledger has. */
export interface LedgerAddition {
  readonly id: string
  readonly taskId: string
  /** The submission that was answered with the task; null: a person has found the task. */
  readonly answered: string | null
}

export interface Plan {
  /** The move of the status; null leaves the status. */
  readonly move: MoveName | null
  readonly row: RowChanges
  readonly ledger: readonly LedgerChange[]
  readonly added: LedgerAddition | null
  /** After the move: the submission whose task is polled instead of the present task. */
  readonly askAbout: string | null
}

/** Nothing is written: the sign of a duplicate, or of a worker that comes late. */
export const NOTHING: Plan = { move: null, row: {}, ledger: [], added: null, askAbout: null }
