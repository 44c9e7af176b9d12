// Deliveries of events to URLs: claims, and the log of attempts.

import { newId } from '../domain/ids.ts'
import { type Database, type Sql, withRetry } from './database.ts'
import { type Event, Prisma } from './generated/client.ts'
import { signingStill } from './rotation.ts'

/** What must be known of a delivery before it is claimed: whose server it is for. */
export interface WokenDelivery {
  /** The project, and scheme, host and port of the URL. */
  readonly target: string
  /** An attempt is due. Else somebody was first; more may be due for the same server. */
  readonly isDue: boolean
  /** Its endpoint, if that was disabled or deleted meanwhile. */
  readonly unwantedEndpointId: string | null
}

/** That a delivery's endpoint gets nothing any more. */
const UNWANTED = Prisma.sql`EXISTS (
  SELECT 1 FROM webhook_endpoints endpoint WHERE endpoint.id = deliveries.endpoint_id AND endpoint.disabled_at IS NOT NULL)`

/** The delivery that somebody was woken for, or null when it is gone. */
export async function findWokenDelivery({ prisma }: Database, id: string): Promise<WokenDelivery | null> {
  const [row] = await prisma.$queryRaw<WokenDelivery[]>`
    SELECT target, next_attempt_at IS NOT NULL AND next_attempt_at <= now() AS "isDue",
      CASE WHEN state = 'pending' AND ${UNWANTED} THEN endpoint_id END AS "unwantedEndpointId"
    FROM deliveries WHERE id = ${id}`
  return row ?? null
}

/** Everything that one attempt needs, read at once. */
export interface ClaimedDelivery {
  readonly id: string
  readonly url: string
  /** The number of the attempt that this claim begins. */
  readonly attempt: number
  /** The same, counted since it was last delivered anew: where the schedule is. */
  readonly scheduled: number
  readonly event: Event
  readonly endpoint: { readonly id: string; readonly failingSince: Date | null } | null
  /** The endpoint's own, several while they are being rotated; or the project's for a URL that came with a request. */
  readonly sealedSecrets: readonly string[]
}

/**
 * Begins the next attempt: a lease, after which without a record of its outcome the attempt counts as lost. A delivery is pending
 * exactly when it has a next attempt; a statement that names its row does not say so besides, for that would let Postgres look for
 * it among all that are pending.
 */
const begin = (leaseMs: number) => Prisma.sql`UPDATE deliveries SET attempts = attempts + 1,
  next_attempt_at = now() + ${leaseMs} * interval '1 ms', due_at = now() + ${leaseMs} * interval '1 ms'`

/** Claims a delivery for `leaseMs`, or says null when no attempt is due. */
export async function claimDelivery(
  { prisma }: Database,
  id: string,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const claimed = await prisma.$executeRaw`
    ${begin(leaseMs)} WHERE id = ${id} AND next_attempt_at <= now()`
  return claimed === 0 ? null : await readClaimed(prisma, id)
}

/** Claims what is due for the same server, the longest waiting first; of endpoints that are still wanted. */
export async function claimNextDelivery(
  { prisma }: Database,
  target: string,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const [claimed] = await prisma.$queryRaw<{ id: string }[]>`
    ${begin(leaseMs)} WHERE id = (
      SELECT id FROM deliveries WHERE ${dueFor(target)} AND NOT ${UNWANTED}
      ORDER BY next_attempt_at LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING id`
  return claimed ? await readClaimed(prisma, claimed.id) : null
}

/** Any one that is due for the server; null when none is. */
export async function findNextDelivery({ prisma }: Database, target: string): Promise<string | null> {
  const [row] = await prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM deliveries WHERE ${dueFor(target)} AND NOT ${UNWANTED} ORDER BY next_attempt_at LIMIT 1`
  return row?.id ?? null
}

const dueFor = (target: string) => Prisma.sql`target = ${target} AND state = 'pending' AND next_attempt_at <= now()`

async function readClaimed(prisma: Database['prisma'], id: string): Promise<ClaimedDelivery> {
  const row = await prisma.delivery.findUniqueOrThrow({
    where: { id },
    include: {
      event: true,
      endpoint: true,
      project: { select: { webhookSecret: true, previousSecrets: true } },
    },
  })
  const { attempts: attempt, attemptsBefore, event, endpoint, project } = row
  const [url = row.url] =
    endpoint && endpoint.url !== row.url ? await moveDeliveries(prisma, Prisma.sql`id = ${id}`) : []
  const secret = endpoint ? endpoint.secret : project.webhookSecret
  const previous = signingStill((endpoint ?? project).previousSecrets, new Date()).map((one) => one.secret)
  return {
    id,
    url,
    attempt,
    scheduled: attempt - attemptsBefore,
    event,
    endpoint: endpoint && { id: endpoint.id, failingSince: endpoint.failingSince },
    sealedSecrets: [secret, ...previous],
  }
}

/** One event goes to one URL once: where the new URL is served already, the old delivery goes on as it is. */
export const PRESENT_URL = Prisma.sql`coalesce((SELECT endpoint.url FROM webhook_endpoints endpoint
  WHERE endpoint.id = deliveries.endpoint_id AND NOT EXISTS (
    SELECT 1 FROM deliveries other WHERE other.event_id = deliveries.event_id AND other.url = endpoint.url)), url)`

/** Sends what was made for an endpoint to where it is now. @returns their URLs */
export async function moveDeliveries(sql: Sql, condition: Prisma.Sql): Promise<string[]> {
  const rows = await sql.$queryRaw<{ url: string }[]>`
    UPDATE deliveries SET url = ${PRESENT_URL}
    -- Locked in one order, as everywhere: no two can wait for each other.
    WHERE id = ANY (ARRAY(SELECT id FROM deliveries WHERE ${condition} ORDER BY id FOR UPDATE)) RETURNING url`
  return rows.map((row) => row.url)
}

/** Rows of one statement. */
const ABANDON_PAGE = 5_000

/** Ends what is pending for an endpoint that is disabled or deleted, as failed: it can be delivered anew. Page by page. */
export async function abandonUnwanted({ prisma }: Database, endpointId: string): Promise<void> {
  const page = Prisma.sql`endpoint_id = ${endpointId} AND state = 'pending' AND ${UNWANTED}`
  const abandon = () => prisma.$executeRaw`
    UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now()
    WHERE id = ANY (ARRAY(SELECT id FROM deliveries WHERE ${page} ORDER BY id LIMIT ${ABANDON_PAGE} FOR UPDATE))`
  while ((await withRetry(abandon)) === ABANDON_PAGE);
}

/** A delivery that has waited this long for a server that does not answer is given up. */
const WAITING_MAX = Prisma.raw(`interval '5 days'`)

/** Puts off one delivery, or all that are due for a server that does not answer, by once or twice `forMs`. */
export async function postponeDeliveries(
  { prisma }: Database,
  which: { readonly id: string } | { readonly target: string },
  forMs: number,
): Promise<void> {
  const condition =
    'id' in which
      ? Prisma.sql`id = ${which.id} AND state = 'pending' AND next_attempt_at <= now()`
      : dueFor(which.target)
  const postpone = () => prisma.$executeRaw`
    WITH due AS (
      SELECT id, pending_since < now() - ${WAITING_MAX} AS "isGivenUp", now() + ${forMs} * (1 + random()) * interval '1 ms' AS at
      FROM deliveries WHERE ${condition} ORDER BY id FOR UPDATE
    )
    UPDATE deliveries SET state = CASE WHEN "isGivenUp" THEN 'failed'::delivery_state ELSE state END,
      next_attempt_at = CASE WHEN NOT "isGivenUp" THEN at END, due_at = CASE WHEN NOT "isGivenUp" THEN at END,
      finished_at = CASE WHEN "isGivenUp" THEN now() END
    FROM due WHERE due.id = deliveries.id`
  await withRetry(postpone)
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

/**
 * Logs an attempt and carries out its verdict in one statement. A success ends the delivery also when its lease was lost; a failure
 * counts only for the attempt that is under way, and not for one that was delivered anew meanwhile.
 */
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
    WHERE id = ${attempt.deliveryId} AND state = 'pending' AND (${verdict.state === 'succeeded'} OR (attempts = ${attempt.attempt} AND attempts_before < ${attempt.attempt}))`
}
