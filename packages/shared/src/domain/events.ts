// The kinds of event. The type of a generation's event is its new status.

import { TERMINAL_STATUSES } from './status.ts'

export const BATCH_COMPLETED = 'batch.completed'
export const ENDPOINT_DISABLED = 'endpoint.disabled'
/** Sent to one endpoint when its owner asks for it. */
export const ENDPOINT_TEST = 'endpoint.test'

/** Delivered to a request's own webhook_url. */
export const DELIVERED_TO_REQUEST: readonly string[] = [
  ...TERMINAL_STATUSES.map((status) => `generation.${status}`),
  BATCH_COMPLETED,
]

/** Delivered to endpoints that name no types. */
export const DELIVERED_BY_DEFAULT: readonly string[] = [...DELIVERED_TO_REQUEST, ENDPOINT_DISABLED]

/** What an endpoint may ask for. */
export const ENDPOINT_EVENT_TYPES = [
  'generation.processing',
  'generation.completed',
  'generation.failed',
  'generation.cancelled',
  BATCH_COMPLETED,
  ENDPOINT_DISABLED,
] as const
