// Admission: the backlog waits in Postgres, and only as many generations as there are slots go to the queue.

import type { RowToEnqueue } from '../../domain/row-to-enqueue.ts'
import type { UpstreamModels } from '../../domain/upstream-models.ts'
import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'
import { sqlState } from '../sql-state.ts'
import { isCommonFailure } from '../unavailable.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable, withoutUnstorable } from '../unstorable-search.ts'
import { backlogHeads } from './backlog-heads.ts'
import { gateOpensMs } from './submitting-gate.ts'
import { type SlotsPerModel, takenSlots } from './taken-slots.ts'
import { turns } from './turns.ts'

/** Time for the submit job to begin. Afterwards the next round of reconcile enqueues an admitted row again. */
const LOST_JOB_MS = 2_000
/** An arbitrary number, the same in every process. */
export const ADMISSION_LOCK = 7_301_001
/** For the admission lock, and for locks on rows other than the admitted rows. A longer lock is not waited for. */
const LOCK_WAIT_MS = 2_000
/** The wait before slots are given out that were left because of locked rows. */
const LOCKED_AGAIN_MS = 100
export interface Admission {
  readonly admitted: readonly RowToEnqueue[]
  /**
   * When another call is useful: at once after a call that reached its bound; soon when rows or the admission lock were
   * locked; when the wait requested by the provider is over; otherwise null.
   */
  readonly againMs: number | null
}

/**
 * Admits queued generations of one upstream while slots are free. The project with the fewest slots is next, so a backlog of any length
 * delays no other project. Within a project the order is by priority, then oldest first. A paused project gets no
 * slots, and while the upstream's gate is closed no project gets slots. A slot is a condition on rows, so slots survive any
 * crash.
 * @param slots the maximum number of generations in flight upstream, over all processes
 * @returns the admitted generations, to enqueue after the commit
 */
export async function admitGenerations(
  database: Database,
  upstream: UpstreamModels,
  slots: number,
  slotsPerModel: SlotsPerModel = {},
): Promise<Admission> {
  const give = (tx: Sql, act: Prisma.Sql) => giveSlots(tx, upstream, slots, slotsPerModel, act)
  const admit = () => withRetry(() => database.prisma.$transaction((tx) => give(tx, ADMITTING)))
  try {
    return await admit()
  } catch (error) {
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return { admitted: [], againMs: LOCK_WAIT_MS }
    if (isCommonFailure(error)) throw error
    // A row may be the cause. The rows whose turn it is are tried; a refused row is skipped from then on.
    const { admitted } = await undoing(database, (tx) => give(tx, LOOKING))
    await withoutUnstorable(database, 'admit', admitted, async (rows) => {
      const ids = rows.map((row) => row.id)
      await undoing(database, (tx) =>
        tx.$executeRaw(sql.named('tryAdmission')`
          UPDATE generations
          SET admitted_at = now(), due_at = now()
          WHERE id = ANY (${ids}::text[])`),
      )
      return []
    })
    return await admit()
  }
}

/** The statement for the rows whose turn it is: admit, or only look. */
const ADMITTING = Prisma.sql`
  UPDATE generations
  SET admitted_at = now(), due_at = now() + ${LOST_JOB_MS} * interval '1 ms'
  WHERE id = ANY (ARRAY(SELECT id FROM locked))
  RETURNING id, wakes, project_id`
const LOOKING = Prisma.sql`
  SELECT id, wakes, project_id
  FROM generations
  WHERE id = ANY (ARRAY(SELECT id FROM locked))`

/** The admissions of each minute, for the admission rate. */
const COUNTED = Prisma.sql`
  counted AS (
    INSERT INTO admissions (project_id, minute, count)
    SELECT project_id, date_trunc('minute', now()), count(*)
    FROM admitted
    GROUP BY project_id
    ON CONFLICT (project_id, minute) DO UPDATE
    SET count = admissions.count + excluded.count
  )`

/** Notes the turn of each project that got a slot. A locked project is skipped. */
const MARKED = Prisma.sql`
  marked AS (
    UPDATE projects
    SET last_admitted_at = clock_timestamp()
    WHERE id = ANY (
      ARRAY(
        SELECT id
        FROM projects
        WHERE id IN (SELECT project_id FROM admitted)
        FOR NO KEY UPDATE SKIP LOCKED
      )
    )
  )`

/** Runs a transaction, rolls it back, and returns its result. @throws the error of Postgres in the transaction */
async function undoing<T>({ prisma }: Database, run: (tx: Sql) => Promise<T>): Promise<T> {
  let answer: { readonly value: T } | null = null
  try {
    return await prisma.$transaction(async (tx) => {
      answer = { value: await run(tx) }
      throw UNDONE
    })
  } catch (error) {
    if (error !== UNDONE || !answer) throw error
    return (answer as { readonly value: T }).value
  }
}

const UNDONE = new Error('undone')

async function giveSlots(
  tx: Sql,
  upstream: UpstreamModels,
  slots: number,
  slotsPerModel: SlotsPerModel,
  act: Prisma.Sql,
): Promise<Admission> {
  // A separate statement: inside the next statement, the snapshot would be older than the lock, and two processes could
  // exceed the cap.
  await tx.$executeRaw(sql.named('lockAdmission')`
    SELECT set_config('lock_timeout', ${String(LOCK_WAIT_MS)}, true),
      pg_advisory_xact_lock(${ADMISSION_LOCK})`)
  const tables = [...takenSlots(upstream, slots, slotsPerModel), ...backlogHeads(upstream), ...turns(upstream)]
  const [row] = await tx.$queryRaw<AdmissionRow[]>(sql.named('giveSlots')`
    WITH RECURSIVE ${Prisma.join(tables)}, admitted AS (${act}), ${COUNTED}, ${MARKED}
    SELECT coalesce(
        jsonb_agg(jsonb_build_object('id', id, 'dispatchCount', wakes)), '[]'
      ) AS admitted,
      ${gateOpensMs(upstream.name)} AS "opensInMs", (SELECT slots FROM free)::int AS slots,
      (SELECT n FROM room)::int AS room, (SELECT "isCrowded" FROM room) AS "isCrowded",
      (SELECT count(*) FROM next)::int AS next
    FROM admitted`)
  if (!row) throw new Error('an aggregate without a row')
  return { admitted: row.admitted, againMs: againAfter(row) }
}

const LOCK_NOT_AVAILABLE = '55P03'

interface AdmissionRow {
  readonly admitted: readonly RowToEnqueue[]
  readonly opensInMs: number | null
  /** Free slots, and the number of slots that this call may give out. */
  readonly slots: number
  readonly room: number
  /** Not all projects were compared. */
  readonly isCrowded: boolean
  /** Rows whose turn it was, as far as there was room. */
  readonly next: number
}

function againAfter({ admitted, opensInMs, slots, room, isCrowded, next }: AdmissionRow): number | null {
  const { length } = admitted
  if (length < Math.min(next, room)) return LOCKED_AGAIN_MS
  if (length === room ? slots > room : isCrowded && length > 0) return 0
  return opensInMs !== null && opensInMs > 0 ? opensInMs : null
}

/** Rows of one statement. */
const RELEASE_PAGE = 500

/**
 * Gives back the slots of generations that were admitted and not yet submitted: of one project, or of the models of one
 * upstream. The generations wait in their places again. Works in pages and skips locked rows: the submit step gives their slots back.
 */
export async function releaseAdmitted(
  database: Database,
  of: { readonly projectId: string } | UpstreamModels,
): Promise<number> {
  const whose =
    'projectId' in of ? Prisma.sql`project_id = ${of.projectId}` : Prisma.sql`model = ANY (${of.models}::text[])`
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id
    FROM generations
    WHERE admitted_at IS NOT NULL
      AND status IN ('queued', 'submitting', 'processing')
      AND status = 'queued'
      AND ${whose}
      AND ${isStorable('generations.id')} ${among}
    ORDER BY id
    LIMIT ${RELEASE_PAGE}
    FOR UPDATE SKIP LOCKED`
  const release = (picked: Prisma.Sql) =>
    database.prisma.$queryRaw<unknown[]>(sql.named('releaseAdmitted')`
      UPDATE generations
      SET admitted_at = NULL, due_at = NULL, wakes = wakes + 1
      WHERE id = ANY (ARRAY(${picked}))
      RETURNING 1`)
  let released = 0
  for (;;) {
    const page = await withRetry(() => claimStorable(database, 'admit', pick, release))
    released += page.length
    // A short page may only lack unstorable rows.
    if (page.length === 0) return released
  }
}
