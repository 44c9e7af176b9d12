// Admission: the backlog waits in Postgres, and only as many generations as there are slots go to the queue.

import { models } from '@reelqueue/contract/terms/models'
import { FAILURES_MAX } from '../../domain/gate-signal.ts'
import type { RowToEnqueue } from '../../domain/row-to-enqueue.ts'
import { type Database, type Sql, withRetry } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sqlState } from '../sql-state.ts'
import { isCommonFailure } from '../unavailable.ts'
import { isStorable } from '../unstorable.ts'
import { claimStorable, withoutUnstorable } from '../unstorable-search.ts'
import { AFTER_REFUSAL, GATE_OPENS_MS, SUBMITTING_PAUSED } from './submitting-gate.ts'

/** Rows admitted by one call, and rows compared by one call: bounds for the transaction that holds the lock. */
const ADMIT_MAX = 1_000
const ROWS_MAX = 20_000
/** Up to this number of waiting projects, all projects are compared; otherwise only the projects whose turn is next. */
const FEW_PROJECTS = 200
/** Time for the submit job to begin. Afterwards the next round of reconcile enqueues an admitted row again. */
const LOST_JOB_MS = 2_000
/** An arbitrary number, the same in every process. */
export const ADMISSION_LOCK = 7_301_001
/** For the admission lock, and for locks on rows other than the admitted rows. A longer lock is not waited for. */
const LOCK_WAIT_MS = 2_000
/**
 * Rows of a project that are skipped because their batches are being cancelled, or Postgres refuses to write the rows.
 * A row behind more skipped rows waits.
 */
const PASSED_OVER_MAX = 2_000
/** The wait before slots are given out that were left because of locked rows. */
const LOCKED_AGAIN_MS = 100
/** Further rows in the order of their turns, in the place of locked rows. */
const EXTRA_ROWS = 50

/**
 * The order of turns: the project with fewer slots, then the project that has waited longer for a slot, and within a
 * project its own order.
 */
const ORDER = Prisma.sql`trial, turn, last_admitted_at NULLS FIRST, priority DESC, id`

/**
 * Slots taken out of `cap`: slots in flight, and slots kept for renders that no generation waits for. Kept slots take a
 * quarter at most, and never the last slot, so an outage with many kept slots stops nothing. When the provider is
 * really full, the provider answers 429.
 */
const taken = (cap: Prisma.Sql) => Prisma.sql`coalesce(sum(count)
  + least(sum(late), CASE WHEN ${cap} IS NOT NULL THEN greatest(0, least(ceil(${cap} / 4.0), ${cap} - 1)) END), 0)`

/**
 * SQL condition: a generation of the project waits, for a model that is not full. Looked up project by project, until
 * there are enough projects.
 */
const HAS_WORK = Prisma.sql`CASE WHEN EXISTS (SELECT 1 FROM cap WHERE taken >= slots)
  THEN EXISTS (SELECT 1 FROM unnest(${Object.keys(models)}::text[]) AS of (model)
    WHERE of.model NOT IN (SELECT model FROM cap WHERE taken >= slots) AND EXISTS (SELECT 1 FROM generations
      WHERE project_id = projects.id AND generations.model = of.model AND status = 'queued' AND admitted_at IS NULL OFFSET 0))
  ELSE EXISTS (SELECT 1 FROM generations WHERE project_id = projects.id AND status = 'queued' AND admitted_at IS NULL OFFSET 0) END`

/** SQL condition: the row's batch is not being cancelled, and Postgres does not refuse to write the row. */
const IS_WANTED = Prisma.sql`coalesce(batch_id <> ALL ((SELECT ids FROM cancelled)::text[]), true) AND ${isStorable('ahead.id')}`

/** The maximum number of generations in flight of a model; for an unnamed model, the number of slots. */
export type SlotsPerModel = Readonly<Record<string, number>>

export interface Admission {
  readonly admitted: readonly RowToEnqueue[]
  /**
   * When another call is useful: at once after a call that reached its bound; soon when rows or the admission lock were
   * locked; when the wait requested by the provider is over; otherwise null.
   */
  readonly againMs: number | null
}

/**
 * Admits queued generations while slots are free. The project with the fewest slots is next, so a backlog of any length
 * delays no other project. Within a project the order is by priority, then oldest first. A paused project gets no
 * slots, and while submitting is paused no project gets slots. A slot is a condition on rows, so slots survive any
 * crash.
 * @param slots the maximum number of generations in flight upstream, over all processes
 * @returns the admitted generations, to enqueue after the commit
 */
export async function admitGenerations(
  database: Database,
  slots: number,
  slotsPerModel: SlotsPerModel = {},
): Promise<Admission> {
  const admit = () =>
    withRetry(() => database.prisma.$transaction((tx) => giveSlots(tx, slots, slotsPerModel, ADMITTING)))
  try {
    return await admit()
  } catch (error) {
    if (sqlState(error) === LOCK_NOT_AVAILABLE) return { admitted: [], againMs: LOCK_WAIT_MS }
    if (isCommonFailure(error)) throw error
    // A row may be the cause. The rows whose turn it is are tried; a refused row is skipped from then on.
    const { admitted } = await undoing(database, (tx) => giveSlots(tx, slots, slotsPerModel, LOOKING))
    await withoutUnstorable(database, 'admit', admitted, async (rows) => {
      const ids = rows.map((row) => row.id)
      await undoing(
        database,
        (tx) =>
          tx.$executeRaw`UPDATE generations SET admitted_at = now(), due_at = now() WHERE id = ANY (${ids}::text[])`,
      )
      return []
    })
    return await admit()
  }
}

/** The statement for the rows whose turn it is: admit, or only look. */
const ADMITTING = Prisma.sql`UPDATE generations SET admitted_at = now(), due_at = now() + ${LOST_JOB_MS} * interval '1 ms'
        WHERE id = ANY (ARRAY(SELECT id FROM locked))
        RETURNING id, wakes, project_id`
const LOOKING = Prisma.sql`SELECT id, wakes, project_id FROM generations WHERE id = ANY (ARRAY(SELECT id FROM locked))`

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

async function giveSlots(tx: Sql, slots: number, slotsPerModel: SlotsPerModel, act: Prisma.Sql): Promise<Admission> {
  // A separate statement: inside the next statement, the snapshot would be older than the lock, and two processes could
  // exceed the cap.
  await tx.$executeRaw`
      SELECT set_config('lock_timeout', ${String(LOCK_WAIT_MS)}, true), pg_advisory_xact_lock(${ADMISSION_LOCK})`
  const [row] = await tx.$queryRaw<AdmissionRow[]>`
      WITH RECURSIVE held AS (
        SELECT project_id, model, sum(count)::int AS count, sum(late)::int AS late, sum(starting)::int AS starting FROM (
          SELECT project_id, model, count(*), 0 AS late, count(*) FILTER (WHERE status <> 'processing') AS starting FROM generations
          WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing') GROUP BY project_id, model
          UNION ALL
          SELECT project_id, model, 0, count(*), 0 FROM generations
          WHERE slot_until > now() AND slot_until IS NOT NULL GROUP BY project_id, model) AS slots
        GROUP BY project_id, model
      ), trial AS (
        -- After a refusal closed the gate one at a time: of another project if one waits, and one that was not refused yet.
        SELECT ${AFTER_REFUSAL} AS "isOn", (SELECT max(refused_project_id) FROM upstream_gates) AS refused_project_id
      ), free AS (
        -- After silence one at a time, until the provider has answered a submission.
        SELECT CASE WHEN ${SUBMITTING_PAUSED} THEN 0
          WHEN (SELECT "isOn" FROM trial) AND (SELECT sum(starting) FROM held) > 0 THEN 0
          ELSE least(CASE WHEN (SELECT "isOn" FROM trial)
              OR EXISTS (SELECT 1 FROM upstream_gates WHERE silences >= ${FAILURES_MAX - 1}) THEN 1 END,
            greatest(0, ${slots} - (SELECT ${taken(Prisma.sql`${slots}::int`)} FROM held))) END AS slots
      ), cap AS MATERIALIZED (
        SELECT model, slots, (SELECT ${taken(Prisma.sql`cap.slots`)} FROM held WHERE held.model = cap.model) AS taken
        FROM unnest(${Object.keys(slotsPerModel)}::text[], ${Object.values(slotsPerModel)}::int[]) AS cap (model, slots)
      ), owner AS (
        -- The projects of which something waits, while they are few: one probe of the index for each, whatever waits behind it.
        (SELECT project_id FROM generations WHERE status = 'queued' AND admitted_at IS NULL AND (SELECT slots FROM free) > 0
         ORDER BY project_id LIMIT 1)
        UNION ALL
        SELECT next.project_id FROM owner CROSS JOIN LATERAL (
          SELECT project_id FROM generations
          WHERE status = 'queued' AND admitted_at IS NULL AND project_id > owner.project_id ORDER BY project_id LIMIT 1) next
      ), few AS MATERIALIZED (
        SELECT project_id FROM owner LIMIT ${FEW_PROJECTS + 1}::int
      ), room AS MATERIALIZED (
        SELECT count(*) > ${FEW_PROJECTS}::int AS "isCrowded",
          least((SELECT slots FROM free), ${ADMIT_MAX}, ${ROWS_MAX}::int / greatest(1, count(*))) AS n
        FROM few
      ), idle AS MATERIALIZED (
        -- Where they are many, those first that have no slot; of these, whoever has waited longest for one.
        SELECT id AS project_id FROM projects
        WHERE (SELECT "isCrowded" FROM room) AND paused_at IS NULL AND id NOT IN (SELECT project_id FROM held) AND ${HAS_WORK}
        ORDER BY last_admitted_at NULLS FIRST, id LIMIT (SELECT n FROM room) + ${EXTRA_ROWS}::int
      ), share AS (
        -- While so many have no slot, nobody gets a second one.
        SELECT CASE WHEN (SELECT count(*) FROM idle) >= n THEN least(n, 1) ELSE n END AS each FROM room
      ), chosen AS (
        SELECT project_id FROM few WHERE NOT (SELECT "isCrowded" FROM room)
        UNION ALL SELECT project_id FROM idle
        UNION ALL SELECT DISTINCT project_id FROM held
          WHERE (SELECT "isCrowded" FROM room) AND (SELECT count(*) FROM idle) < (SELECT n FROM room) + ${EXTRA_ROWS}::int
      ), waiting AS (
        SELECT chosen.project_id, first.model FROM chosen CROSS JOIN LATERAL (
          SELECT model FROM generations
          WHERE status = 'queued' AND admitted_at IS NULL AND project_id = chosen.project_id ORDER BY model LIMIT 1) first
        UNION ALL
        SELECT waiting.project_id, next.model FROM waiting CROSS JOIN LATERAL (
          SELECT model FROM generations
          WHERE status = 'queued' AND admitted_at IS NULL AND project_id = waiting.project_id AND model > waiting.model
          ORDER BY model LIMIT 1) next
      ), cancelled AS (
        SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(project_id), '{}') AS projects
        FROM batches WHERE cancel_requested_at IS NOT NULL
      ), unstorable AS (
        SELECT least(count(*), ${PASSED_OVER_MAX})::int AS count FROM unstorable_rows WHERE retry_at > now()
      ), busy AS (
        -- By id: a join would compare each with each.
        SELECT jsonb_object_agg(project_id, taken) AS slots FROM (
          SELECT project_id, ${taken(Prisma.sql`projects.max_in_flight`)} AS taken
          FROM held JOIN projects ON projects.id = held.project_id GROUP BY project_id, projects.max_in_flight) each
      ), candidate AS (
        SELECT first.id, first.priority,
          CASE WHEN trial."isOn" THEN coalesce(waiting.project_id = trial.refused_project_id, false)::int * 2 + first.tried ELSE 0 END AS trial,
          waiting.project_id, waiting.model, projects.max_in_flight, projects.last_admitted_at, cap.slots AS cap, cap.taken AS cap_taken,
          coalesce(((SELECT slots FROM busy) ->> waiting.project_id)::float8, 0)
            + row_number() OVER (PARTITION BY waiting.project_id ORDER BY first.priority DESC, first.id) AS turn
        FROM trial CROSS JOIN waiting JOIN projects ON projects.id = waiting.project_id AND projects.paused_at IS NULL
        LEFT JOIN cap ON cap.model = waiting.model
        CROSS JOIN LATERAL (
          -- Of a model that is full nothing is looked at: it must not stand in the way of another.
          SELECT least((SELECT each FROM share), CASE WHEN cap.slots IS NOT NULL THEN greatest(0, cap.slots - cap.taken) END) AS rows,
            CASE WHEN waiting.project_id = ANY ((SELECT projects FROM cancelled)::text[]) THEN ${PASSED_OVER_MAX}::int ELSE 0 END
              + (SELECT count FROM unstorable) AS passed
        ) look CROSS JOIN LATERAL (
          (SELECT id, priority, 1 AS tried FROM (
            SELECT id, priority, batch_id FROM generations
            WHERE project_id = waiting.project_id AND model = waiting.model AND status = 'queued' AND admitted_at IS NULL
            ORDER BY priority DESC, id LIMIT CASE WHEN look.rows > 0 THEN look.rows + look.passed ELSE 0 END) ahead
          WHERE ${IS_WANTED} ORDER BY priority DESC, id LIMIT look.rows)
          UNION ALL
          (SELECT id, priority, 0 FROM (
            SELECT id, priority, batch_id FROM generations
            WHERE project_id = waiting.project_id AND model = waiting.model AND status = 'queued' AND admitted_at IS NULL
              AND current_submission_id IS NULL
            ORDER BY priority DESC, id LIMIT CASE WHEN trial."isOn" AND look.rows > 0 THEN 1 + look.passed ELSE 0 END) ahead
          WHERE ${IS_WANTED} ORDER BY priority DESC, id LIMIT 1)) first
      ), ranked AS (
        SELECT candidate.*, row_number() OVER (PARTITION BY candidate.model ORDER BY ${ORDER}) + cap_taken AS model_turn
        FROM candidate WHERE max_in_flight IS NULL OR turn <= max_in_flight
      ), next AS (
        SELECT id, row_number() OVER (ORDER BY ${ORDER}) AS number FROM ranked WHERE cap IS NULL OR model_turn <= cap
        ORDER BY ${ORDER} LIMIT (SELECT n FROM room) + ${EXTRA_ROWS}::int
      ), locked AS MATERIALIZED (
        -- What somebody has locked is passed over, for nobody else may wait for it.
        SELECT id FROM generations
        WHERE id = ANY (ARRAY(SELECT id FROM next))
          -- In words that do not let Postgres look for them among all that wait.
          AND status::text = 'queued' AND coalesce(admitted_at, 'infinity') = 'infinity'
        ORDER BY ((SELECT jsonb_object_agg(id, number) FROM next) ->> id)::int LIMIT (SELECT n FROM room) FOR UPDATE SKIP LOCKED
      ), admitted AS (
        ${act}
      ), counted AS (
        INSERT INTO admissions (project_id, minute, count)
        SELECT project_id, date_trunc('minute', now()), count(*) FROM admitted GROUP BY project_id
        ON CONFLICT (project_id, minute) DO UPDATE SET count = admissions.count + excluded.count
      ), marked AS (
        UPDATE projects SET last_admitted_at = clock_timestamp()
        WHERE id = ANY (ARRAY(SELECT id FROM projects WHERE id IN (SELECT project_id FROM admitted) FOR NO KEY UPDATE SKIP LOCKED))
      )
      SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'dispatchCount', wakes)), '[]') AS admitted, ${GATE_OPENS_MS} AS "opensInMs",
        (SELECT slots FROM free)::int AS slots, (SELECT n FROM room)::int AS room, (SELECT "isCrowded" FROM room) AS "isCrowded",
        (SELECT count(*) FROM next)::int AS next
      FROM admitted`
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
 * Gives back the slots of generations that were admitted and not yet submitted, of one project or of all projects. The
 * generations wait in their places again. Works in pages and skips locked rows: the submit step gives their slots back.
 */
export async function releaseAdmitted(database: Database, projectId: string | null): Promise<number> {
  const ofProject = projectId === null ? Prisma.empty : Prisma.sql`AND project_id = ${projectId}`
  const pick = (among: Prisma.Sql) => Prisma.sql`
    SELECT id FROM generations
    WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing') AND status = 'queued' ${ofProject}
      AND ${isStorable('generations.id')} ${among}
    ORDER BY id LIMIT ${RELEASE_PAGE} FOR UPDATE SKIP LOCKED`
  const release = (picked: Prisma.Sql) => database.prisma.$queryRaw<unknown[]>`
    UPDATE generations SET admitted_at = NULL, due_at = NULL, wakes = wakes + 1 WHERE id = ANY (ARRAY(${picked})) RETURNING 1`
  let released = 0
  for (;;) {
    const page = await withRetry(() => claimStorable(database, 'admit', pick, release))
    released += page.length
    // A short page may only lack unstorable rows.
    if (page.length === 0) return released
  }
}
