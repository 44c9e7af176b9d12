// The statuses of a generation and the only moves between them. An illegal move is not an exception: it is
// what a duplicate or a late worker looks like, and the guarded UPDATE then changes nothing.

/**
 * What is true in each status, and who must act next:
 * - `queued`: durable, nothing paid. Waits for a slot (`admitted_at` null: admit acts), then for the submit step.
 * - `submitting`: a submission's intent is committed, or one was certainly refused and waits out its back-off.
 *   The submit step acts; after the lease has run out, reconcile reads the silence as unknown.
 * - `processing`: the provider has the task. The polling lanes act until an answer or the deadline, then complete.
 * - `completed`: the video's URL is stored. Final.
 * - `failed`: has an error code. Leaves only by a late success or acceptance, or because a caller asks for it.
 * - `cancelled`: final, though a render under way may still be charged.
 */
export const STATUSES = ['queued', 'submitting', 'processing', 'completed', 'failed', 'cancelled'] as const
export type Status = (typeof STATUSES)[number]

export const TERMINAL_STATUSES = ['completed', 'failed', 'cancelled'] as const satisfies readonly Status[]
export const OPEN_STATUSES = ['queued', 'submitting', 'processing'] as const satisfies readonly Status[]

/**
 * Every legal move by name. Late moves bring back a generation whose task turned out to exist: one that failed, or one that
 * was queued again meanwhile. `retry` and `adopt` are what callers may ask of a failed one; `resume` is a retry that found
 * a former attempt's video before it paid; `release` a submission that the provider refused for the account, not for its own sake.
 */
export const MOVES = {
  submit: { from: ['queued'], to: 'submitting' },
  accept: { from: ['submitting'], to: 'processing' },
  release: { from: ['submitting'], to: 'queued' },
  acceptLate: { from: ['failed', 'queued'], to: 'processing' },
  retry: { from: ['failed'], to: 'queued' },
  adopt: { from: ['failed'], to: 'processing' },
  resume: { from: ['queued', 'submitting'], to: 'processing' },
  complete: { from: ['processing'], to: 'completed' },
  completeLate: { from: ['failed'], to: 'completed' },
  fail: { from: ['queued', 'submitting', 'processing'], to: 'failed' },
  cancel: { from: ['queued', 'submitting', 'processing'], to: 'cancelled' },
} as const satisfies Record<string, { readonly from: readonly Status[]; readonly to: Status }>
export type MoveName = keyof typeof MOVES

export function isTerminal(status: Status): status is (typeof TERMINAL_STATUSES)[number] {
  return (TERMINAL_STATUSES as readonly Status[]).includes(status)
}

/** The status after `move`, or null when the move is illegal from here. */
export function afterMove(status: Status, move: MoveName): Status | null {
  const { from, to } = MOVES[move]
  return (from as readonly Status[]).includes(status) ? to : null
}
