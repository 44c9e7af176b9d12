// The types of events. The type of a generation's event is the new status.

import { TERMINAL_STATUSES } from './status.ts'

export const BATCH_COMPLETED = 'batch.completed'
export const ENDPOINT_DISABLED = 'endpoint.disabled'
/** Sent to one endpoint when the endpoint's owner asks for a test. */
export const ENDPOINT_TEST = 'endpoint.test'

/** Delivered to a request's own webhook_url. */
export const DELIVERED_TO_REQUEST: readonly string[] = [
  ...TERMINAL_STATUSES.map((status) => `generation.${status}`),
  BATCH_COMPLETED,
]

/** Delivered to endpoints without event types of their own. */
export const DELIVERED_BY_DEFAULT: readonly string[] = [...DELIVERED_TO_REQUEST, ENDPOINT_DISABLED]

/** The event types that an endpoint may choose. */
export const ENDPOINT_EVENT_TYPES = [
  'generation.processing',
  'generation.completed',
  'generation.failed',
  'generation.cancelled',
  BATCH_COMPLETED,
  ENDPOINT_DISABLED,
] as const
