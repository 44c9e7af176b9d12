// The submission gate, over all workers: what an operator paused, and what the provider's answers have closed. Rows in
// Postgres, so wiping Redis opens no gate.

import { FAILURES_MAX } from '../../domain/gate-signal.ts'
import type { RefusalClass } from '../../domain/refusal.ts'
import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable } from '../unstorable-search.ts'

/** SQL condition without a table, for statements that admit or submit: some gate is closed. */
export const SUBMITTING_PAUSED = Prisma.sql`
  EXISTS (
    SELECT 1
    FROM upstream_gates
    WHERE paused_at IS NOT NULL
      OR unreachable_since IS NOT NULL
      OR account_retry_at > now()
      OR hold_until > now()
  )`

/** Milliseconds until the wait requested by the provider is over; null while another cause holds the gate. */
export const GATE_OPENS_MS = Prisma.sql`
  (
    SELECT ceil(
      extract(epoch FROM max(greatest(hold_until, account_retry_at)) - now()) * 1000
    )::float8
    FROM upstream_gates
    WHERE paused_at IS NULL AND unreachable_since IS NULL
  )`

/** SQL condition: a refusal had closed the gate. One submission at a time is tried, until a submission is accepted. */
export const AFTER_REFUSAL = Prisma.sql`EXISTS (SELECT 1 FROM upstream_gates WHERE account_retry_at IS NOT NULL)`
/** SQL condition: an acceptance is worth noting. */
export const AFTER_TROUBLE = Prisma.sql`
  EXISTS (SELECT 1 FROM upstream_gates WHERE silences > 0 OR account_retry_at IS NOT NULL)`

const GIVE_BACK_PAGE = 500

export interface Gate {
  /** Paused by an operator or by a start, until an operator resumes. */
  readonly pausedAt: Date | null
  /** Why a start paused the gate; null when an operator paused the gate. */
  readonly pausedReason: string | null
  /** The provider's words for refusing the account itself, or all requests alike. */
  readonly refusal: string | null
  readonly refusalClass: RefusalClass | null
  /** When one submission is tried after the refusal. In the past: a submission is being tried. */
  readonly refusalRetryAt: Date | null
  /** Since when submissions in a row were not answered; ends when a free request is answered. */
  readonly unreachableSince: Date | null
  /** Trial submissions since then that were not answered either. */
  readonly silentTrials: number
  /** How long the gate has been closed for silence, in ms; null when the gate is not closed for silence. */
  readonly unreachableForMs: number | null
  /** The provider asked to wait. */
  readonly holdUntil: Date | null
  readonly isOpen: boolean
}

const NO_REFUSAL = Prisma.sql`
  account_retry_at = NULL, account_refusal = NULL, refusal_class = NULL, refused_project_id = NULL,
  refusal_closings = 0, refusal_key = NULL, refusals = 0, refusals_from = NULL`

const OPEN: Gate = {
  pausedAt: null,
  pausedReason: null,
  refusal: null,
  refusalClass: null,
  refusalRetryAt: null,
  unreachableSince: null,
  silentTrials: 0,
  unreachableForMs: null,
  holdUntil: null,
  isOpen: true,
}

/** The row of the alphabetically first upstream, with `isOpen` over all upstreams; without a row, an open gate. */
export async function readGate({ prisma }: Database): Promise<Gate> {
  const [row] = await prisma.$queryRaw<Gate[]>(sql.named('readGate')`
    SELECT paused_at AS "pausedAt", paused_reason AS "pausedReason",
      unreachable_since AS "unreachableSince",
      CASE WHEN account_retry_at IS NOT NULL THEN account_refusal END AS "refusal",
      -- A worker of an earlier version closes for the account only.
      CASE
        WHEN account_retry_at IS NOT NULL THEN coalesce(refusal_class, 'account')
      END AS "refusalClass",
      account_retry_at AS "refusalRetryAt",
      greatest(0, silences - ${FAILURES_MAX})::int AS "silentTrials",
      extract(epoch FROM now() - unreachable_since)::float8 * 1000 AS "unreachableForMs",
      CASE WHEN hold_until > now() THEN hold_until END AS "holdUntil",
      NOT (${SUBMITTING_PAUSED} OR ${AFTER_REFUSAL}) AS "isOpen"
    FROM upstream_gates
    ORDER BY upstream
    LIMIT 1`)
  return row ?? OPEN
}

/**
 * Pauses or resumes submitting: by hand, or, with a `reason`, by a start. Resuming also clears closings by the
 * provider's answers.
 */
export async function setPaused(
  { prisma }: Database,
  upstream: string,
  paused: boolean,
  reason: string | null = null,
): Promise<void> {
  await prisma.$executeRaw(sql.named('setPaused')`
    INSERT INTO upstream_gates (upstream, paused_at, paused_reason)
    VALUES (${upstream}, CASE WHEN ${paused} THEN now() END, ${reason})
    ON CONFLICT (upstream) DO UPDATE
    SET paused_reason = CASE
        WHEN ${paused} THEN coalesce(${reason}, upstream_gates.paused_reason)
      END,
      paused_at = CASE WHEN ${paused} THEN coalesce(upstream_gates.paused_at, now()) END`)
  if (paused) return
  await prisma.$executeRaw(sql.named('resumeSubmitting')`
    UPDATE upstream_gates
    SET silences = 0, unreachable_since = NULL, hold_until = NULL, ${NO_REFUSAL}
    WHERE upstream = ${upstream}`)
}

/** A worker starts, perhaps with a corrected key or address: a gate closed by refusals or silence is tried at once. */
export async function tryNow({ prisma }: Database, upstream: string): Promise<void> {
  await prisma.$executeRaw(sql.named('trySilentGateNow')`
    UPDATE upstream_gates
    SET silences = ${FAILURES_MAX}
    WHERE upstream = ${upstream} AND silences > ${FAILURES_MAX}`)
  await prisma.$executeRaw(sql.named('tryRefusedGateNow')`
    UPDATE upstream_gates
    SET account_retry_at = now()
    WHERE upstream = ${upstream} AND account_retry_at > now()`)
}

/** The provider asked to wait this long. */
export async function hold({ prisma }: Database, upstream: string, forMs: number): Promise<void> {
  await prisma.$executeRaw(sql.named('holdGate')`
    INSERT INTO upstream_gates (upstream, hold_until)
    VALUES (${upstream}, now() + ${forMs} * interval '1 ms')
    ON CONFLICT (upstream) DO UPDATE
    SET hold_until = greatest(upstream_gates.hold_until, excluded.hold_until)`)
}

/**
 * Counts a submission without an answer. Up to `FAILURES_MAX`, unanswered submissions in a row count. Beyond, only
 * submissions count that were tried after the gate had closed (`isAfterFailure`); submissions already under way do not
 * count.
 * @param weight how much the submission counts, up to `FAILURES_MAX`
 * @returns whether the submission closed the gate
 */
export async function noteFailure(
  { prisma }: Database,
  upstream: string,
  isAfterFailure: boolean,
  weight: number,
): Promise<boolean> {
  await prisma.$executeRaw(sql.named('addGateOfFailure')`
    INSERT INTO upstream_gates (upstream)
    VALUES (${upstream})
    ON CONFLICT DO NOTHING`)
  const [row] = await prisma.$queryRaw<{ closed: boolean }[]>(sql.named('noteFailure')`
    WITH before AS (
      SELECT upstream, silences
      FROM upstream_gates
      WHERE upstream = ${upstream}
        AND unreachable_since IS NULL
        AND (silences < ${FAILURES_MAX} OR ${isAfterFailure})
      FOR UPDATE
    )
    UPDATE upstream_gates gate
    SET silences = CASE
        WHEN before.silences >= ${FAILURES_MAX} THEN before.silences + 1
        ELSE least(${FAILURES_MAX}, before.silences + ${weight}::int)
      END,
      unreachable_since = CASE
        WHEN before.silences + ${weight}::int >= ${FAILURES_MAX} THEN now()
      END
    FROM before
    WHERE gate.upstream = before.upstream
    RETURNING gate.unreachable_since IS NOT NULL AS closed`)
  return row?.closed ?? false
}

/**
 * Half-open: the provider answered a free request. Submissions may try, and one more silence closes the gate again.
 * @returns whether this call opened the gate, and not another worker before
 */
export async function openHalf({ prisma }: Database, upstream: string): Promise<boolean> {
  const opened = await prisma.$executeRaw(sql.named('openHalf')`
    UPDATE upstream_gates
    SET unreachable_since = NULL
    WHERE upstream = ${upstream} AND unreachable_since IS NOT NULL`)
  return opened > 0
}

/** The provider answered a submission: the count of silences starts again, and a gate closed by silence is open. */
export async function noteAnswer({ prisma }: Database, upstream: string): Promise<void> {
  await prisma.$executeRaw(sql.named('noteAnswer')`
    UPDATE upstream_gates
    SET silences = 0, unreachable_since = NULL
    WHERE upstream = ${upstream} AND silences > 0`)
}

/**
 * After an outage the provider accepts again, so the provider is not full: slots kept for unknown outcomes of the
 * outage are given back, in pages. The rows stay as they are, and are never submitted again without a request.
 */
async function giveBackSlots(database: Database): Promise<void> {
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE slot_until > now()
      AND slot_until IS NOT NULL
      AND error_code = 'submission_unknown'
      AND ${isStorable('generations.id')} ${among}
    ORDER BY id
    LIMIT ${GIVE_BACK_PAGE}
    FOR UPDATE SKIP LOCKED`
  const giveBack = (picked: Prisma.Sql) =>
    database.prisma.$queryRaw<unknown[]>(sql.named('giveBackSlots')`
      UPDATE generations
      SET slot_until = NULL
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING 1`)
  // A short page may only lack unstorable rows.
  while ((await claimStorable(database, 'admit', pick, giveBack)).length > 0);
}

/** The provider accepted a submission: a gate closed by refusals is open, unless a refusal has just closed the gate. */
export async function noteAcceptance(database: Database, upstream: string): Promise<void> {
  const [gate] = await database.prisma.$queryRaw<{ failures: number }[]>(sql.named('readSilences')`
    SELECT silences AS failures
    FROM upstream_gates
    WHERE upstream = ${upstream}`)
  await noteAnswer(database, upstream)
  // With fewer silences there was no outage, and submissions with an unknown outcome may well be rendering.
  if ((gate?.failures ?? 0) >= FAILURES_MAX) await giveBackSlots(database)
  await database.prisma.$executeRaw(sql.named('noteAcceptance')`
    UPDATE upstream_gates
    SET ${NO_REFUSAL}
    WHERE upstream = ${upstream} AND account_retry_at <= now()`)
}

/**
 * Takes up to `wanted` requests out of `perMinute`, over all workers. Unused requests are saved for up to ten seconds.
 * @returns the number of requests that may be sent now
 */
export async function takeRequests(
  { prisma }: Database,
  upstream: string,
  wanted: number,
  perMinute: number,
): Promise<number> {
  const burst = Math.max(1, perMinute / 6)
  const take = () =>
    prisma.$queryRaw<{ taken: number }[]>(sql.named('takeRequests')`
      WITH gate AS (
        SELECT least(
          ${burst}::float8,
          coalesce(
            requests
              + ${perMinute / 60}::float8 * extract(
                epoch FROM clock_timestamp() - requests_at
              )::float8,
            ${burst}::float8
          )
        ) AS available
        FROM upstream_gates
        WHERE upstream = ${upstream}
        FOR UPDATE
      )
      UPDATE upstream_gates
      SET requests_at = clock_timestamp(), requests = available - least(${wanted}, floor(available))
      FROM gate
      WHERE upstream = ${upstream}
      RETURNING least(${wanted}, floor(available))::int AS taken`)
  const [row] = await take()
  if (row) return Math.max(0, row.taken)
  await prisma.$executeRaw(sql.named('addGateOfRequests')`
    INSERT INTO upstream_gates (upstream)
    VALUES (${upstream})
    ON CONFLICT DO NOTHING`)
  return (await take())[0]?.taken ?? 0
}

/** Gives back taken requests that were not sent. */
export async function giveBackRequests({ prisma }: Database, upstream: string, unused: number): Promise<void> {
  await prisma.$executeRaw(sql.named('giveBackRequests')`
    UPDATE upstream_gates
    SET requests = requests + ${unused}
    WHERE upstream = ${upstream}`)
}
