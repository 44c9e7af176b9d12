// Deliveries of events to URLs: claims, and the log of attempts.

import { newId } from '../domain/ids.ts'
import type { Database } from './database.ts'
import type { Event } from './generated/client.ts'

/** Everything that one attempt needs, read at once. */
export interface ClaimedDelivery {
  readonly id: string
  readonly url: string
  /** The number of the attempt that this claim begins. */
  readonly attempt: number
  readonly event: Event
  /** Sealed; the endpoint's own, or the project's for a URL that came with a request. */
  readonly sealedSecret: string
}

/**
 * Begins the next attempt of a delivery, or says null when none is due. The claim is a lease: after `leaseMs`
 * without a record of its outcome the attempt counts as lost and the next one is due.
 */
export async function claimDelivery(
  { prisma }: Database,
  id: string,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const claimed = await prisma.$executeRaw`
    UPDATE deliveries SET attempts = attempts + 1,
      next_attempt_at = now() + ${leaseMs} * interval '1 ms', due_at = now() + ${leaseMs} * interval '1 ms'
    WHERE id = ${id} AND state = 'pending' AND next_attempt_at <= now()`
  if (claimed === 0) return null
  const delivery = await prisma.delivery.findUniqueOrThrow({
    where: { id },
    include: { event: true, endpoint: { select: { secret: true } }, project: { select: { webhookSecret: true } } },
  })
  const { url, attempts, event, endpoint, project } = delivery
  return { id, url, attempt: attempts, event, sealedSecret: endpoint?.secret ?? project.webhookSecret }
}

export interface AttemptRecord {
  readonly deliveryId: string
  readonly attempt: number
  readonly httpStatus: number | null
  readonly errorClass: string | null
  readonly message: string
  readonly replySnippet: string | null
  readonly durationMs: number
}

/** What follows from an attempt: success, another attempt after `retryMs`, or the end without success. */
export type DeliveryVerdict =
  | { readonly state: 'succeeded' }
  | { readonly state: 'pending'; readonly retryMs: number }
  | { readonly state: 'failed' }

/** Logs an attempt and carries out its verdict in one statement; a verdict of an attempt whose lease was lost still ends it. */
export async function recordAttempt(
  { prisma }: Database,
  attempt: AttemptRecord,
  verdict: DeliveryVerdict,
): Promise<void> {
  const retryMs = verdict.state === 'pending' ? verdict.retryMs : null
  const ended = verdict.state !== 'pending'
  await prisma.$executeRaw`
    WITH logged AS (
      INSERT INTO delivery_attempts (id, delivery_id, number, http_status, error_class, message, reply_snippet, duration_ms)
      VALUES (${newId('attempt')}, ${attempt.deliveryId}, ${attempt.attempt}, ${attempt.httpStatus}, ${attempt.errorClass},
        ${attempt.message}, ${attempt.replySnippet}, ${Math.round(attempt.durationMs)})
      ON CONFLICT (delivery_id, number) DO NOTHING
    )
    UPDATE deliveries
    SET state = ${verdict.state}::delivery_state, next_attempt_at = now() + ${retryMs}::float8 * interval '1 ms',
      due_at = now() + ${retryMs}::float8 * interval '1 ms', finished_at = CASE WHEN ${ended} THEN now() END
    WHERE id = ${attempt.deliveryId} AND state = 'pending' AND (${ended} OR attempts = ${attempt.attempt})`
}
