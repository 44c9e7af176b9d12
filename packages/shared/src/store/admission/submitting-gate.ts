// The submission gate of each upstream, over all workers: what an operator paused, and what the provider's answers have closed. Rows in
// Postgres, so wiping Redis opens no gate.

import { FAILURES_MAX } from '../../domain/gate-signal.ts'
import type { RefusalClass } from '../../domain/refusal.ts'
import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

/** SQL condition without a table, for statements that admit or submit: the upstream's gate is closed. */
export const isClosed = (upstream: string) => Prisma.sql`
  EXISTS (
    SELECT 1
    FROM upstream_gates
    WHERE upstream = ${upstream}
      AND (
        paused_at IS NOT NULL
        OR unreachable_since IS NOT NULL
        OR account_retry_at > now()
        OR hold_until > now()
      )
  )`

/** Milliseconds until the wait requested by the provider is over; null while another cause holds the gate. */
export const gateOpensMs = (upstream: string) => Prisma.sql`
  (
    SELECT ceil(extract(epoch FROM greatest(hold_until, account_retry_at) - now()) * 1000)::float8
    FROM upstream_gates
    WHERE upstream = ${upstream} AND paused_at IS NULL AND unreachable_since IS NULL
  )`

/** SQL condition: a refusal had closed the gate. One submission at a time is tried, until a submission is accepted. */
export const isAfterRefusal = (upstream: string) => Prisma.sql`
  EXISTS (
    SELECT 1
    FROM upstream_gates
    WHERE upstream = ${upstream} AND account_retry_at IS NOT NULL
  )`

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

export const NO_REFUSAL = Prisma.sql`
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

/** The gate of the upstream; without a row, an open gate. */
export async function readGate({ prisma }: Database, upstream: string): Promise<Gate> {
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
      NOT (${isClosed(upstream)} OR ${isAfterRefusal(upstream)}) AS "isOpen"
    FROM upstream_gates
    WHERE upstream = ${upstream}`)
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
