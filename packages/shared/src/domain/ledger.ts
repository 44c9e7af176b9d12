// Judges whether a database is an older copy of itself: a restored snapshot, dump or point in time. Generations queued
// in the copy may have been paid for since, so no generation may be submitted before a person has looked.

/** The identity of the tables. A restored dump, or a copy of a database, has other numbers. */
export interface LedgerIdentity {
  /** The identifier of the server's data, from initdb on; null when the user may not read the identifier. */
  readonly system: string | null
  readonly database: string
  readonly table: string
  /** Grows at a promotion, and at a restore to a point in time. */
  readonly timeline: number | null
}

/** The last state of a database, as recorded outside the database. */
export interface LedgerMark {
  /** The place of the mark, in words. */
  readonly where: string
  readonly aliveAtMs: number
  /** The newest submission, and whether the database has the submission; null when there was no submission. */
  readonly submission: string | null
  readonly hasSubmission: boolean
}

export interface LedgerFacts {
  /** Null before the first worker. */
  readonly aliveAtMs: number | null
  readonly nowMs: number
  /** Whether the last worker stopped in order. */
  readonly hasStopped: boolean
  readonly recorded: LedgerIdentity | null
  readonly present: LedgerIdentity
  readonly marks: readonly LedgerMark[]
}

/** A failover promotes a standby while workers run, or soon after. */
const FAILOVER_MAX_MS = 10 * 60_000
/** The longest silence without a proof that the workers only stopped. */
const SILENCE_MAX_MS = 60 * 60_000
/** The workers of one database write one after another. */
const MARK_MARGIN_MS = 60_000

/** Why the database seems to be older than the world, in words; null when the database goes on from its last state. */
export function ledgerSuspicion(facts: LedgerFacts): string | null {
  const { aliveAtMs, nowMs, recorded, present, marks, hasStopped } = facts
  if (aliveAtMs === null) return null
  const ahead = marks.find((mark) => mark.aliveAtMs > aliveAtMs || (mark.submission !== null && !mark.hasSubmission))
  if (ahead)
    return `${ahead.where} remembers a later state of this database than it has itself: it seems to be an older copy`
  if (recorded && isElsewhere(recorded, present))
    return 'this database is a copy or a restored backup: it was made at another place than the one that workers last used'
  const silentMs = nowMs - aliveAtMs
  const timelines = [recorded?.timeline, present.timeline]
  if (silentMs > FAILOVER_MAX_MS && timelines.every(Number.isInteger) && timelines[0] !== timelines[1])
    return 'Postgres was restored to a point in time, or promoted, while no worker ran'
  const isOnlyStopped = hasStopped || marks.some((mark) => mark.aliveAtMs >= aliveAtMs - MARK_MARGIN_MS)
  if (silentMs > SILENCE_MAX_MS && !isOnlyStopped)
    return `the last sign of a worker in this database is of ${new Date(aliveAtMs).toISOString()}, and nothing shows that it is the latest`
  return null
}

function isElsewhere(recorded: LedgerIdentity, present: LedgerIdentity): boolean {
  const isOther = (before: string | null, now: string | null) => before !== null && now !== null && before !== now
  return (
    isOther(recorded.system, present.system) ||
    isOther(recorded.database, present.database) ||
    isOther(recorded.table, present.table)
  )
}
