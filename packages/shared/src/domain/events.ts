// The kinds of event. The type of a generation's event is its new status; of those, the endings go to webhooks.

import { TERMINAL_STATUSES } from './status.ts'

export const BATCH_COMPLETED = 'batch.completed'

/** Delivered to a request's own webhook_url, and to endpoints that name no types. */
export const DELIVERED_BY_DEFAULT: readonly string[] = [
  ...TERMINAL_STATUSES.map((status) => `generation.${status}`),
  BATCH_COMPLETED,
]
