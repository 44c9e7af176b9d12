// Judges whether a database is an older copy of itself: a snapshot, a dump or a point in time that was restored. What was queued in it
// may have been paid for since, so nothing of it may be submitted before a person has looked.

/** Where the tables are. A restored dump, and a copy of a database, have other numbers. */
export interface LedgerIdentity {
  /** Of the server's data, from initdb on; null where it may not be asked. */
  readonly system: string | null
  readonly database: string
  readonly table: string
  /** Grows at a promotion, and at a restore to a point in time. */
  readonly timeline: number | null
}

/** The last state of a database that was seen from outside of it. */
export interface LedgerMark {
  /** Where the mark is kept, in words. */
  readonly where: string
  readonly aliveAtMs: number
  /** The newest submission, and whether the database has it; null when there was none. */
  readonly submission: string | null
  readonly hasSubmission: boolean
}

export interface LedgerFacts {
  /** Null until a worker has been here. */
  readonly aliveAtMs: number | null
  readonly nowMs: number
  /** Whether the last worker stopped in order. */
  readonly hasStopped: boolean
  readonly recorded: LedgerIdentity | null
  readonly present: LedgerIdentity
  readonly marks: readonly LedgerMark[]
}

/** A failover promotes a standby while workers go on, or soon after. */
const FAILOVER_MAX_MS = 10 * 60_000
/** Without any proof that it was only a stop. */
const SILENCE_MAX_MS = 60 * 60_000
/** Workers of one database write one after the other. */
const MARK_MARGIN_MS = 60_000

/** Why the database seems to be older than the world, in words; null when it goes on from where it stopped. */
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
