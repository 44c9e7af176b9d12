// Deliveries of events to URLs: claims, and the log of attempts.

import { newId } from '@reelqueue/contract/terms/ids'
import { type Database, PREPARED, withRetry } from '../database.ts'
import { type Event, type Generation, Prisma, type WebhookPayload } from '../generated/client.ts'
import { signingStill } from '../rotation.ts'
import { sqlState } from '../sql-state.ts'
import { isCommonFailure } from '../unavailable.ts'
import { isStorable, notingUnstorable } from '../unstorable.ts'
import { readSealedHeaders } from './endpoint-headers.ts'
import { rests } from './target-rests.ts'

/** The facts about a delivery that are needed before its claim. */
export interface WokenDelivery {
  readonly projectId: string
  /** The origin: the project, and the scheme, host and port of the URL. */
  readonly target: string
  /** An attempt is due. Otherwise another worker was first; more deliveries to the same origin may be due. */
  readonly isDue: boolean
  /** The origin does not answer and is in its cool-down. */
  readonly isResting: boolean
  /** The endpoint of a pending delivery, if the endpoint is disabled or deleted; otherwise null. */
  readonly unwantedEndpointId: string | null
}

/** SQL condition: the endpoint of the delivery is disabled or deleted. */
export const UNWANTED = Prisma.sql`EXISTS (
  SELECT 1 FROM webhook_endpoints endpoint WHERE endpoint.id = deliveries.endpoint_id AND endpoint.disabled_at IS NOT NULL)`

/** Reads the deliveries of queue jobs, in the order of `ids`; null for a deleted delivery. */
export async function findWokenDeliveries(
  { prisma }: Database,
  ids: readonly string[],
): Promise<(WokenDelivery | null)[]> {
  const rows = await prisma.$queryRaw<(WokenDelivery & { id: string })[]>`
    ${Prisma.raw(PREPARED)} SELECT id, project_id AS "projectId", target, next_attempt_at IS NOT NULL AND next_attempt_at <= now() AS "isDue", ${rests('deliveries.target')} AS "isResting",
      CASE WHEN state = 'pending' AND ${UNWANTED} THEN endpoint_id END AS "unwantedEndpointId"
    FROM deliveries WHERE id = ANY (${ids}::text[])`
  const byId = new Map(rows.map(({ id, ...woken }) => [id, woken]))
  return ids.map((id) => byId.get(id) ?? null)
}

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

/**
 * Begins the next attempt with a lease. An attempt without a recorded outcome at the end of the lease counts as lost.
 * A delivery is pending exactly when `next_attempt_at` is set. A statement that selects by id omits `state =
 * 'pending'`: with this condition the planner would use the index of pending deliveries instead of the primary key.
 */
const begin = (leaseMs: number) => Prisma.sql`UPDATE deliveries SET attempts = attempts + 1,
  next_attempt_at = now() + ${leaseMs} * interval '1 ms', due_at = now() + ${leaseMs} * interval '1 ms'`

/** A claim request: a named delivery, or any due delivery to an origin. */
export type Wanted = { readonly id: string } | { readonly target: string }

/**
 * Claims deliveries for `leaseMs`. The results are in the order of `wanted`: null when no attempt is due or another
 * transaction locks the row; an Error when the delivery was claimed and cannot be used. For an origin the longest due
 * deliveries come first, and deliveries to disabled endpoints are left out.
 */
export async function claimDeliveries(
  { prisma }: Database,
  wanted: readonly Wanted[],
  leaseMs: number,
): Promise<(ClaimedDelivery | Error | null)[]> {
  const ids = wanted.flatMap((one) => ('id' in one ? one.id : []))
  const targets = wanted.flatMap((one) => ('target' in one ? one.target : []))
  const rows = await withRetry(
    () => prisma.$queryRaw<ClaimedRow[]>`
      ${Prisma.raw(PREPARED)} WITH named AS (
        SELECT id FROM deliveries WHERE id = ANY (${ids}::text[]) AND next_attempt_at <= now()
          AND NOT ${rests('deliveries.target')} AND ${isStorable('deliveries.id')} FOR UPDATE SKIP LOCKED
      ), next AS (
        SELECT due.id FROM (SELECT target, count(*) FROM unnest(${targets}::text[]) AS target GROUP BY target) asked
        CROSS JOIN LATERAL (
          SELECT id FROM deliveries
          WHERE ${dueFor(Prisma.sql`asked.target`)} AND id <> ALL (${ids}::text[]) AND NOT ${UNWANTED}
            AND ${isStorable('deliveries.id')}
          ORDER BY next_attempt_at LIMIT asked.count FOR UPDATE SKIP LOCKED) due
        WHERE NOT ${rests('asked.target')}
      ), claimed AS (
        ${begin(leaseMs)} WHERE id = ANY (ARRAY(SELECT id FROM named UNION ALL SELECT id FROM next))
        RETURNING id, target, url, payload, attempts, attempts_before, event_id, endpoint_id, project_id
      )
      SELECT claimed.id, claimed.project_id AS "projectId", claimed.target, claimed.url, claimed.payload, claimed.attempts AS attempt,
        claimed.attempts - claimed.attempts_before AS scheduled, event.id AS "eventId", event.type, event.sequence,
        event.created_at AS "createdAt", event.data, event.generation_id AS "generationId", event.batch_id AS "batchId",
        endpoint.id AS "endpointId", endpoint.url AS "endpointUrl", endpoint.failing_since AS "failingSince", endpoint.headers,
        coalesce(endpoint.secret, project.webhook_secret) AS secret,
        coalesce(endpoint.previous_secrets, project.previous_secrets) AS "previousSecrets",
        (SELECT ${UNTOLD} FROM generations WHERE id = event.generation_id) AS generation
      FROM claimed JOIN events event ON event.id = claimed.event_id JOIN projects project ON project.id = claimed.project_id
        LEFT JOIN webhook_endpoints endpoint ON endpoint.id = claimed.endpoint_id`,
  )
  const moved = await moveDeliveries(prisma, rows)
  // INVARIANT: a claimed delivery is handed out once.
  const left = new Set(rows)
  const handOut = (one: Wanted) => {
    const row = [...left].find((other) =>
      'id' in one ? other.id === one.id : other.target === one.target && !ids.includes(other.id),
    )
    if (row) left.delete(row)
    return row
  }
  return await Promise.all(
    wanted.map(handOut).map(async (row) => {
      if (!row) return null
      const {
        id,
        projectId,
        payload,
        endpointUrl,
        endpointId,
        failingSince,
        headers,
        secret,
        previousSecrets,
        ...rest
      } = row
      const { eventId, generation, ...event } = rest
      try {
        const url = moved.get(id) ?? row.url
        if (url instanceof Error) throw url
        return {
          id,
          projectId,
          url,
          attempt: rest.attempt,
          scheduled: rest.scheduled,
          event: { ...event, id: eventId },
          payload,
          generation: generation && dated(generation),
          endpoint:
            endpointId === null || endpointUrl === null
              ? null
              : { id: endpointId, failingSince, url: endpointUrl, sealedHeaders: readSealedHeaders(headers) },
          sealedSecrets: [secret, ...signingStill(previousSecrets, new Date()).map((one) => one.secret)],
        }
      } catch (cause) {
        return new Error(`the delivery ${id} was claimed and cannot be read`, { cause })
      }
    }),
  )
}

/**
 * Claims one delivery; a row that Postgres refuses to write is noted. @throws the reason when the claim fails or the
 * delivery cannot be used
 */
export async function claimDelivery(
  database: Database,
  wanted: Wanted,
  leaseMs: number,
): Promise<ClaimedDelivery | null> {
  const claim = async (one: Wanted) => {
    const [claimed = null] = await claimDeliveries(database, [one], leaseMs)
    if (claimed instanceof Error) throw claimed
    return claimed
  }
  const claimById = (id: string) => notingUnstorable(database, 'deliver', id, () => claim({ id }))
  if ('id' in wanted) return await claimById(wanted.id)
  try {
    return await claim(wanted)
  } catch (error) {
    if (sqlState(error) === undefined || isCommonFailure(error)) throw error
    // The refused row fails again when claimed by id, and is then noted. If another worker noted the row first, `next`
    // is another delivery.
    const next = await nextFor(database, wanted.target)
    return next === null ? null : await claimById(next)
  }
}

/** The delivery that a claim for the origin would take. */
async function nextFor({ prisma }: Database, target: string): Promise<string | null> {
  const [row] = await prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM deliveries WHERE ${dueFor(target)} AND NOT ${UNWANTED} AND ${isStorable('deliveries.id')}
    ORDER BY next_attempt_at LIMIT 1`
  return row?.id ?? null
}

/** A claimed delivery with its event, its endpoint and its secrets. */
interface ClaimedRow extends Omit<ClaimedEvent, 'id'> {
  readonly id: string
  readonly projectId: string
  readonly target: string
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

const UNTOLD = Prisma.sql`json_build_object('id', id, 'model', model, 'prompt', prompt, 'size', size, 'seconds', seconds,
  'inputReference', input_reference, 'batchId', batch_id, 'customId', custom_id, 'metadata', metadata, 'webhookUrl', webhook_url,
  'priority', priority, 'onUnknownSubmission', on_unknown_submission, 'cancelRequestedAt', cancel_requested_at, 'createdAt', created_at)`

const dated = (generation: InJson<ClaimedGeneration>): ClaimedGeneration => ({
  ...generation,
  cancelRequestedAt: generation.cancelRequestedAt === null ? null : new Date(generation.cancelRequestedAt),
  createdAt: new Date(generation.createdAt),
})

const dueFor = (target: Prisma.Sql | string) =>
  Prisma.sql`target = ${target} AND state = 'pending' AND next_attempt_at <= now()`

/**
 * One event goes to one URL once: when the endpoint's new URL already has a delivery of the event, the old delivery
 * keeps its URL.
 */
export const PRESENT_URL = Prisma.sql`coalesce((SELECT endpoint.url FROM webhook_endpoints endpoint
  WHERE endpoint.id = deliveries.endpoint_id AND NOT EXISTS (
    SELECT 1 FROM deliveries other WHERE other.event_id = deliveries.event_id AND other.url = endpoint.url)), url)`

/**
 * Changes the URL of claimed deliveries whose endpoint has moved. The change is made here and not when the endpoint
 * moves: hundreds of thousands of deliveries may be pending.
 * @returns the URL by delivery id, or an Error when the URL could not be written
 */
async function moveDeliveries(
  prisma: Database['prisma'],
  rows: readonly Pick<ClaimedRow, 'id' | 'url' | 'endpointUrl'>[],
): Promise<Map<string, string | Error>> {
  const ids = rows.filter(({ url, endpointUrl }) => endpointUrl !== null && endpointUrl !== url).map(({ id }) => id)
  const move = async (some: readonly string[]) =>
    await withRetry(
      () => prisma.$queryRaw<{ id: string; url: string }[]>`
        UPDATE deliveries SET url = ${PRESENT_URL}
        -- Locked in one order, as everywhere: no two can wait for each other.
        WHERE id = ANY (ARRAY(SELECT id FROM deliveries WHERE id = ANY (${some}::text[]) ORDER BY id FOR UPDATE))
        RETURNING id, url`,
    )
  const moved = new Map<string, string | Error>()
  if (ids.length === 0) return moved
  try {
    for (const { id, url } of await move(ids)) moved.set(id, url)
  } catch {
    // Single-row fallback: a row that cannot be written must not fail the other rows.
    for (const one of ids) {
      const [row] = await move([one]).catch((cause: unknown) => [
        { id: one, url: new Error('its URL cannot be changed', { cause }) },
      ])
      if (row) moved.set(one, row.url)
    }
  }
  return moved
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

/** The outcome of an attempt: success, another attempt after `retryMs`, or the end without success. */
export type DeliveryVerdict =
  | { readonly state: 'succeeded' }
  | { readonly state: 'pending'; readonly retryMs: number }
  | { readonly state: 'failed' }

/** A finished attempt with its outcome. */
export interface Judged {
  readonly attempt: AttemptRecord
  readonly verdict: DeliveryVerdict
}

/**
 * Logs attempts and records their outcomes in one statement. A success ends the delivery even when its lease was lost.
 * A failure counts only for the attempt under way, and not after a redelivery.
 * @returns for each attempt whether it is recorded: not when another transaction locks the delivery, or an earlier
 * attempt in `judged` has the same delivery
 */
export async function recordAttempts(database: Database, judged: readonly Judged[]): Promise<boolean[]> {
  const firsts = judged.filter((one, index) => judged.findIndex((other) => isSameDelivery(one, other)) === index)
  const recorded = await withRetry(() => record(database, firsts, Prisma.sql`SKIP LOCKED`))
  return judged.map((one) => firsts.includes(one) && recorded.has(one.attempt.deliveryId))
}

const isSameDelivery = (one: Judged, other: Judged) => one.attempt.deliveryId === other.attempt.deliveryId

/** Records one attempt, and waits for a locked row. */
export async function recordAttempt(database: Database, judged: Judged): Promise<void> {
  const recorded = await withRetry(() => record(database, [judged], Prisma.empty))
  if (recorded.size === 0) throw new Error(`there is no delivery ${judged.attempt.deliveryId}`)
}

async function record({ prisma }: Database, judged: readonly Judged[], wait: Prisma.Sql): Promise<Set<string>> {
  const of = <T>(read: (attempt: AttemptRecord) => T) => judged.map((one) => read(one.attempt))
  const ids = of((attempt) => attempt.deliveryId)
  const numbers = of((attempt) => attempt.attempt)
  const retryMs = judged.map(({ verdict }) => (verdict.state === 'pending' ? verdict.retryMs : null))
  const rows = await prisma.$queryRaw<{ id: string }[]>`
    ${Prisma.raw(PREPARED)} WITH free AS (
      SELECT id FROM deliveries WHERE id = ANY (${ids}::text[]) ORDER BY id FOR UPDATE ${wait}
    ), logged AS (
      INSERT INTO delivery_attempts (id, delivery_id, number, http_status, error_class, message, reply_snippet, duration_ms)
      SELECT made.* FROM unnest(${ids.map(() => newId('attempt'))}::text[], ${ids}::text[], ${numbers}::int[],
        ${of((attempt) => attempt.httpStatus)}::int[], ${of((attempt) => attempt.errorClass)}::text[],
        ${of((attempt) => attempt.message)}::text[], ${of((attempt) => attempt.replySnippet)}::text[],
        ${of((attempt) => Math.round(attempt.durationMs))}::int[])
        AS made (id, delivery_id, number, http_status, error_class, message, reply_snippet, duration_ms)
      WHERE made.delivery_id IN (SELECT id FROM free)
      ON CONFLICT (delivery_id, number) DO NOTHING
    ), judged AS (
      UPDATE deliveries
      SET state = verdict.state, next_attempt_at = now() + verdict.retry_ms * interval '1 ms',
        due_at = now() + verdict.retry_ms * interval '1 ms', finished_at = CASE WHEN verdict.state <> 'pending' THEN now() END
      FROM unnest(${ids}::text[], ${numbers}::int[], ${judged.map((one) => one.verdict.state)}::text[]::delivery_state[],
        ${retryMs}::float8[]) AS verdict (id, number, state, retry_ms)
      WHERE deliveries.id = ANY (ARRAY(SELECT id FROM free)) AND deliveries.id = verdict.id AND deliveries.state = 'pending'
        AND (verdict.state = 'succeeded' OR (attempts = verdict.number AND attempts_before < verdict.number))
    )
    SELECT id FROM free`
  return new Set(rows.map((row) => row.id))
}
