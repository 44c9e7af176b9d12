// Deliveries of events to URLs: claims, and the log of attempts.

import { newId } from '../domain/ids.ts'
import { type Database, PREPARED, withRetry } from './database.ts'
import { readSealedHeaders } from './endpoint-headers.ts'
import { type Event, type Generation, Prisma, type WebhookPayload } from './generated/client.ts'
import { signingStill } from './rotation.ts'
import { sqlState } from './sql-state.ts'
import { rests } from './target-rests.ts'
import { isCommonFailure } from './unavailable.ts'
import { isStorable, notingUnstorable } from './unstorable.ts'

/** What must be known of a delivery before it is claimed: whose server it is for. */
export interface WokenDelivery {
  readonly projectId: string
  /** The project, and scheme, host and port of the URL. */
  readonly target: string
  /** An attempt is due. Else somebody was first; more may be due for the same server. */
  readonly isDue: boolean
  /** Its server does not answer, and is left alone for now. */
  readonly isResting: boolean
  /** Its endpoint, if that was disabled or deleted meanwhile. */
  readonly unwantedEndpointId: string | null
}

/** That a delivery's endpoint gets nothing any more. */
export const UNWANTED = Prisma.sql`EXISTS (
  SELECT 1 FROM webhook_endpoints endpoint WHERE endpoint.id = deliveries.endpoint_id AND endpoint.disabled_at IS NOT NULL)`

/** The deliveries that somebody was woken for, in their order; null for one that is gone. */
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

/** Everything that one attempt needs, read at once. */
export interface ClaimedDelivery {
  readonly id: string
  readonly projectId: string
  readonly url: string
  /** The number of the attempt that this claim begins. */
  readonly attempt: number
  /** The same, counted since it was last delivered anew: where the schedule is. */
  readonly scheduled: number
  readonly event: ClaimedEvent
  /** What the event is about, if that is a generation. */
  readonly generation: ClaimedGeneration | null
  /** The form of its body. */
  readonly payload: WebhookPayload
  readonly endpoint: ClaimedEndpoint | null
  /** The endpoint's own, several while they are being rotated; or the project's for a URL that came with a request. */
  readonly sealedSecrets: readonly string[]
}

export interface ClaimedEndpoint {
  readonly id: string
  readonly failingSince: Date | null
  /** Where it is now: its headers are meant for this origin only. */
  readonly url: string
  /** Sealed values by name. */
  readonly sealedHeaders: Readonly<Record<string, string>>
}

/** What no event tells of its generation. */
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
 * Begins the next attempt: a lease, after which without a record of its outcome the attempt counts as lost. A delivery is pending
 * exactly when it has a next attempt; a statement that names its row does not say so besides, for that would let Postgres look for
 * it among all that are pending.
 */
const begin = (leaseMs: number) => Prisma.sql`UPDATE deliveries SET attempts = attempts + 1,
  next_attempt_at = now() + ${leaseMs} * interval '1 ms', due_at = now() + ${leaseMs} * interval '1 ms'`

/** What to claim: a delivery, or whichever is due for a server. */
export type Wanted = { readonly id: string } | { readonly target: string }

/**
 * Claims deliveries for `leaseMs`; what was claimed is in the order of what was wanted: null where no attempt is due, or somebody else
 * has the row in hand, and an Error where the claim was made and cannot be used. For a server those that have waited longest come first, and only those of endpoints that are still wanted.
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
  // INVARIANT: what was claimed once is handed out once.
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

/** The same for one; the row that Postgres refuses to write is noted. @throws why the claim failed, or cannot be used */
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
    // By its id it fails once more, or somebody else has found out and this is another one.
    const next = await nextFor(database, wanted.target)
    return next === null ? null : await claimById(next)
  }
}

/** What a claim for the server would take. */
async function nextFor({ prisma }: Database, target: string): Promise<string | null> {
  const [row] = await prisma.$queryRaw<{ id: string }[]>`
    SELECT id FROM deliveries WHERE ${dueFor(target)} AND NOT ${UNWANTED} AND ${isStorable('deliveries.id')}
    ORDER BY next_attempt_at LIMIT 1`
  return row?.id ?? null
}

/** A delivery with what signs it, and its event. */
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

/** One event goes to one URL once: where the new URL is served already, the old delivery goes on as it is. */
export const PRESENT_URL = Prisma.sql`coalesce((SELECT endpoint.url FROM webhook_endpoints endpoint
  WHERE endpoint.id = deliveries.endpoint_id AND NOT EXISTS (
    SELECT 1 FROM deliveries other WHERE other.event_id = deliveries.event_id AND other.url = endpoint.url)), url)`

/**
 * Sends those whose endpoint has another URL by now to where it is. An endpoint's URL is read here and not written to all that is
 * pending for it: that may be hundreds of thousands.
 * @returns by id, where each goes that was not to go there before; an Error where that could not be written
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
    // One that cannot go there must not take the others along.
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

/** What follows from an attempt: success, another attempt after `retryMs`, or the end without success. */
export type DeliveryVerdict =
  | { readonly state: 'succeeded' }
  | { readonly state: 'pending'; readonly retryMs: number }
  | { readonly state: 'failed' }

/** An attempt that was made, and what follows from it. */
export interface Judged {
  readonly attempt: AttemptRecord
  readonly verdict: DeliveryVerdict
}

/**
 * Logs attempts and carries out their verdicts in one statement. A success ends the delivery also when its lease was lost; a failure
 * counts only for the attempt that is under way, and not for one that was delivered anew meanwhile.
 * @returns for each whether it is recorded: not where somebody else has its row in hand, or another attempt of the same delivery came first
 */
export async function recordAttempts(database: Database, judged: readonly Judged[]): Promise<boolean[]> {
  const firsts = judged.filter((one, index) => judged.findIndex((other) => isSameDelivery(one, other)) === index)
  const recorded = await withRetry(() => record(database, firsts, Prisma.sql`SKIP LOCKED`))
  return judged.map((one) => firsts.includes(one) && recorded.has(one.attempt.deliveryId))
}

const isSameDelivery = (one: Judged, other: Judged) => one.attempt.deliveryId === other.attempt.deliveryId

/** The same for one, which waits for its row. */
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
