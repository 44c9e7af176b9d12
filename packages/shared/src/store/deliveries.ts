// Deliveries of events to URLs: claims, and the log of attempts.

import { newId } from '../domain/ids.ts'
import type { Database } from './database.ts'
import { type Event, Prisma } from './generated/client.ts'

/** What must be known of a delivery before it is claimed: whose server it is for. */
export interface DueDelivery {
  readonly origin: string
  /** Its endpoint was disabled or deleted meanwhile. */
  readonly isUnwanted: boolean
}

/** The delivery whose next attempt is due, or null when it is not. */
export async function findDueDelivery({ prisma }: Database, id: string): Promise<DueDelivery | null> {
  const [row] = await prisma.$queryRaw<DueDelivery[]>`
    SELECT origin, endpoint.disabled_at IS NOT NULL AS "isUnwanted"
    FROM deliveries LEFT JOIN webhook_endpoints endpoint ON endpoint.id = endpoint_id
    WHERE deliveries.id = ${id} AND state = 'pending' AND next_attempt_at <= now()`
  return row ?? null
}

/** Everything that one attempt needs, read at once. */
export interface ClaimedDelivery {
  readonly id: string
  readonly url: string
  readonly origin: string
  /** The number of the attempt that this claim begins. */
  readonly attempt: number
  /** The same, counted since it was last delivered anew: where the schedule is. */
  readonly scheduled: number
  readonly event: Event
  readonly endpoint: { readonly id: string; readonly isFailing: boolean } | null
  /** The endpoint's own, two while they are being rotated; or the project's for a URL that came with a request. */
  readonly sealedSecrets: readonly string[]
}

/** Begins the next attempt: a lease, after which without a record of its outcome the attempt counts as lost. */
const begin = (leaseMs: number) => Prisma.sql`UPDATE deliveries SET attempts = attempts + 1,
  next_attempt_at = now() + ${leaseMs} * interval '1 ms', due_at = now() + ${leaseMs} * interval '1 ms'`

/** Claims a delivery for `leaseMs`, or says null when no attempt is due. */
export async function claimDelivery(
  { prisma }: Database,
  id: string,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const claimed = await prisma.$executeRaw`
    ${begin(leaseMs)} WHERE id = ${id} AND state = 'pending' AND next_attempt_at <= now()`
  return claimed === 0 ? null : await readClaimed(prisma, id)
}

/** Claims what is due for the same server, the longest waiting first; of endpoints that are still wanted. */
export async function claimNextDelivery(
  { prisma }: Database,
  origin: string,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const [claimed] = await prisma.$queryRaw<{ id: string }[]>`
    ${begin(leaseMs)} WHERE state = 'pending' AND id = (
      SELECT id FROM deliveries d WHERE origin = ${origin} AND state = 'pending' AND next_attempt_at <= now()
        AND NOT EXISTS (SELECT 1 FROM webhook_endpoints endpoint WHERE endpoint.id = d.endpoint_id AND disabled_at IS NOT NULL)
      ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id`
  return claimed ? await readClaimed(prisma, claimed.id) : null
}

async function readClaimed(prisma: Database['prisma'], id: string): Promise<ClaimedDelivery> {
  const row = await prisma.delivery.findUniqueOrThrow({
    where: { id },
    include: { event: true, endpoint: true, project: { select: { webhookSecret: true } } },
  })
  const { url, origin, attempts: attempt, attemptsBefore, event, endpoint, project } = row
  const rotated =
    endpoint?.previousSecretUntil && endpoint.previousSecretUntil > new Date() ? [endpoint.previousSecret] : []
  return {
    id,
    url,
    origin,
    attempt,
    scheduled: attempt - attemptsBefore,
    event,
    endpoint: endpoint && { id: endpoint.id, isFailing: endpoint.failingSince !== null },
    sealedSecrets: [endpoint?.secret ?? project.webhookSecret, ...rotated].filter((secret) => secret !== null),
  }
}

/** Ends a delivery that nobody wants any more: its endpoint was disabled. It can be delivered anew. */
export async function abandonDelivery({ prisma }: Database, id: string): Promise<void> {
  await prisma.$executeRaw`
    UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now() WHERE id = ${id} AND state = 'pending'`
}

/** A delivery that has waited this long for a server that does not answer is given up. */
const WAITING_MAX = Prisma.raw(`interval '5 days'`)

/** Puts off one delivery, or all that are due for a server that does not answer, by once or twice `forMs`. */
export async function postponeDeliveries(
  { prisma }: Database,
  which: { readonly id: string } | { readonly origin: string },
  forMs: number,
): Promise<void> {
  const condition = 'id' in which ? Prisma.sql`id = ${which.id}` : Prisma.sql`origin = ${which.origin}`
  await prisma.$executeRaw`
    WITH due AS (
      SELECT id, created_at < now() - ${WAITING_MAX} AS "isGivenUp", now() + ${forMs} * (1 + random()) * interval '1 ms' AS at
      FROM deliveries WHERE ${condition} AND state = 'pending' AND next_attempt_at <= now()
      ORDER BY id FOR UPDATE
    )
    UPDATE deliveries SET state = CASE WHEN "isGivenUp" THEN 'failed'::delivery_state ELSE state END,
      next_attempt_at = CASE WHEN NOT "isGivenUp" THEN at END, due_at = CASE WHEN NOT "isGivenUp" THEN at END,
      finished_at = CASE WHEN "isGivenUp" THEN now() END
    FROM due WHERE due.id = deliveries.id AND state = 'pending'`
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
