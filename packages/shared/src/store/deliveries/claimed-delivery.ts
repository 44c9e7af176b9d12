// The data for an attempt, as read by a claim.

import { type Event, type Generation, Prisma, type WebhookPayload } from '../generated/client.ts'

/** The data for one attempt, read by one statement. */
export interface ClaimedDelivery {
  readonly id: string
  readonly projectId: string
  readonly url: string
  /** The number of the attempt begun by this claim. */
  readonly attempt: number
  /** The number of the attempt since the last redelivery: the position in the retry schedule. */
  readonly scheduled: number
  readonly event: ClaimedEvent
  /** The generation of the event; null when the event has no generation. */
  readonly generation: ClaimedGeneration | null
  /** The form of the webhook's body. */
  readonly payload: WebhookPayload
  readonly endpoint: ClaimedEndpoint | null
  /**
   * The secrets of the endpoint, or of the project for the URL of a request. More than one secret during a rotation.
   */
  readonly sealedSecrets: readonly string[]
}

export interface ClaimedEndpoint {
  readonly id: string
  readonly failingSince: Date | null
  /** The current URL of the endpoint. The headers are meant for the origin of this URL only. */
  readonly url: string
  /** Sealed values by header name. */
  readonly sealedHeaders: Readonly<Record<string, string>>
}

/** The fields of a generation that are not in its events. */
export type ClaimedGeneration = Pick<
  Generation,
  | 'id'
  | 'model'
  | 'prompt'
  | 'size'
  | 'seconds'
  | 'inputReference'
  | 'batchId'
  | 'customId'
  | 'metadata'
  | 'webhookUrl'
  | 'priority'
  | 'onUnknownSubmission'
  | 'cancelRequestedAt'
  | 'createdAt'
>

export type ClaimedEvent = Pick<Event, 'id' | 'type' | 'sequence' | 'createdAt' | 'data' | 'generationId' | 'batchId'>

/** A claimed delivery with its event, its endpoint and its secrets. */
export interface ClaimedRow extends Omit<ClaimedEvent, 'id'> {
  readonly id: string
  readonly projectId: string
  readonly origin: string
  readonly url: string
  readonly payload: WebhookPayload
  readonly attempt: number
  readonly scheduled: number
  readonly eventId: string
  readonly endpointId: string | null
  readonly endpointUrl: string | null
  readonly failingSince: Date | null
  readonly headers: unknown
  readonly secret: string
  readonly previousSecrets: unknown
  readonly generation: InJson<ClaimedGeneration> | null
}

type InJson<T> = { [K in keyof T]: T[K] extends Date ? string : T[K] extends Date | null ? string | null : T[K] }

export const NOT_IN_EVENTS = Prisma.sql`
  json_build_object(
    'id', id, 'model', model, 'prompt', prompt, 'size', size, 'seconds', seconds,
    'inputReference', input_reference, 'batchId', batch_id, 'customId', custom_id,
    'metadata', metadata, 'webhookUrl', webhook_url, 'priority', priority,
    'onUnknownSubmission', on_unknown_submission, 'cancelRequestedAt', cancel_requested_at,
    'createdAt', created_at
  )`

export const dated = (generation: InJson<ClaimedGeneration>): ClaimedGeneration => ({
  ...generation,
  cancelRequestedAt: generation.cancelRequestedAt === null ? null : new Date(generation.cancelRequestedAt),
  createdAt: new Date(generation.createdAt),
})
