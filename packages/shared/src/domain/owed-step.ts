// Which step an overdue row is waiting for: a pure function of the row, so that reconcile can heal anything.

import type { Status } from './status.ts'

/**
 * `null`: nothing to wake. Rows being polled belong to the lanes, and rows without a slot to admit.
 */
export function owedStep(row: { readonly status: Status; readonly hasAnswer: boolean }): 'submit' | 'complete' | null {
  if (row.hasAnswer) return 'complete'
  return row.status === 'queued' || row.status === 'submitting' ? 'submit' : null
}
