// The step that an overdue row waits for: a pure function of the row, so that reconcile can recover any row.

import type { Status } from '@reelqueue/contract/terms/status'

/** `null`: nothing to enqueue. The pollers serve rows being polled, and admission serves rows without a slot. */
export function dueStep(row: { readonly status: Status; readonly hasAnswer: boolean }): 'submit' | 'complete' | null {
  if (row.hasAnswer) return 'complete'
  return row.status === 'queued' || row.status === 'submitting' ? 'submit' : null
}
