// The statuses of a generation and the only moves between statuses. An illegal move is not an exception: it is the sign
// of a duplicate or a late worker, and the guarded UPDATE then changes nothing.

/**
 * The facts in each status, and who must act next:
 * - `queued`: durable, nothing paid. Waits for a slot (`admitted_at` null: admission acts), then for the submit step.
 * - `submitting`: a submission's intent is committed, or a submission was certainly refused and waits out its back-off.
 * The submit step acts; after the end of the lease, reconcile reads the silence as unknown.
 * - `processing`: the provider has the task. The pollers act until an answer or the deadline, then the complete step.
 * - `completed`: the video's URL is stored. Final.
 * - `failed`: has an error code. Leaves only by a late success or acceptance, or at a caller's request.
 * - `cancelled`: final, although a render under way may still be charged.
 */
export const STATUSES = ['queued', 'submitting', 'processing', 'completed', 'failed', 'cancelled'] as const
export type Status = (typeof STATUSES)[number]

export const TERMINAL_STATUSES = ['completed', 'failed', 'cancelled'] as const satisfies readonly Status[]
export const OPEN_STATUSES = ['queued', 'submitting', 'processing'] as const satisfies readonly Status[]

/**
 * Every legal move by name. Late moves bring back a generation whose task turned out to exist: a failed generation, or
 * a generation that was queued again. `retry` and `adopt` are requests of callers for a failed generation. `resume`: a
 * retry found the video of a previous attempt before its payment. `release`: the provider refused a submission for a
 * reason that is not about its generation.
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
