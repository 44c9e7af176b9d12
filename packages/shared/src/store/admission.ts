// Admission: the backlog waits in Postgres, and only as many generations as there are slots go on to the queue.

import { SILENCES_MAX } from '../domain/gate-signal.ts'
import { type Database, type Sql, withRetry } from './database.ts'
import { Prisma } from './generated/client.ts'
import type { WakeUp } from './overdue.ts'
import { AFTER_REFUSAL, GATE_OPENS_MS, SUBMITTING_PAUSED } from './submitting-gate.ts'

/** Rows admitted by one call: bounds the transaction that holds the lock. */
const ADMIT_MAX = 1_000
/** Time for its submit job to begin; after that the next round of reconcile wakes an admitted row again. */
const WAKE_GRACE_MS = 2_000
/** Any number, the same in every process. */
const ADMISSION_LOCK = 7_301_001

/** Whose turn it is: with fewer slots first, then whoever has waited longer for one, and within a project its own order. */
const ORDER = Prisma.sql`trial, turn, last_admitted_at NULLS FIRST, priority DESC, id`

/**
 * Slots taken out of `cap`: those in flight, and those kept for renders that nobody waits for. The latter take a quarter at the most
 * and never the last one, so that an outage which left many of them stops nothing; when the provider is really full, it says so (429).
 */
const taken = (cap: Prisma.Sql) => Prisma.sql`coalesce(sum(count)
  + least(sum(late), CASE WHEN ${cap} IS NOT NULL THEN greatest(0, least(ceil(${cap} / 4.0), ${cap} - 1)) END), 0)`

/** How many generations of a model may be in flight; of a model that is not named, as many as there are slots. */
export type SlotsPerModel = Readonly<Record<string, number>>

export interface Admission {
  readonly admitted: readonly WakeUp[]
  /** When it is worth another call: at once after one that reached its bound; when the provider's hold is over; else null. */
  readonly againMs: number | null
}

/**
 * Admits queued generations while slots are free. The project with the fewest slots is next, so that a backlog of any length
 * delays no other project; within a project by priority, then oldest first. Nothing of a paused project, and nothing at all
 * while submitting is paused. A slot is a condition on rows, so it survives any crash.
 * @param slots how many generations may be in flight upstream over all processes
 * @returns those admitted, to be woken after commit
 */
export async function admitGenerations(
  { prisma }: Database,
  slots: number,
  slotsPerModel: SlotsPerModel = {},
): Promise<Admission> {
  const admit = async (tx: Sql) => {
    // A statement of its own: inside the next one, the snapshot would predate the lock and two processes exceed the cap.
    await tx.$executeRaw`SELECT pg_advisory_xact_lock(${ADMISSION_LOCK})`
    const [row] = await tx.$queryRaw<{ admitted: WakeUp[]; opensInMs: number | null }[]>`
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
              OR EXISTS (SELECT 1 FROM upstream_gates WHERE silences >= ${SILENCES_MAX - 1}) THEN 1 END,
            ${ADMIT_MAX}, greatest(0, ${slots} - (SELECT ${taken(Prisma.sql`${slots}::int`)} FROM held))) END AS n
      ), waiting AS (
        -- Every project and model of which something waits: one probe of the index for each, whatever waits behind it.
        (SELECT project_id, model FROM generations WHERE status = 'queued' AND admitted_at IS NULL
         ORDER BY project_id, model LIMIT 1)
        UNION ALL
        SELECT next.project_id, next.model FROM waiting CROSS JOIN LATERAL (
          SELECT project_id, model FROM generations
          WHERE status = 'queued' AND admitted_at IS NULL AND (project_id, model) > (waiting.project_id, waiting.model)
          ORDER BY project_id, model LIMIT 1) next
      ), candidate AS (
        SELECT first.id, first.priority,
          CASE WHEN trial."isOn" THEN coalesce(waiting.project_id = trial.refused_project_id, false)::int * 2 + first.tried ELSE 0 END AS trial,
          waiting.project_id, waiting.model, projects.max_in_flight, projects.last_admitted_at,
          (SELECT ${taken(Prisma.sql`projects.max_in_flight`)} FROM held WHERE held.project_id = waiting.project_id)
            + row_number() OVER (PARTITION BY waiting.project_id ORDER BY first.priority DESC, first.id) AS turn
        FROM trial CROSS JOIN waiting JOIN projects ON projects.id = waiting.project_id AND projects.paused_at IS NULL
        LEFT JOIN unnest(${Object.keys(slotsPerModel)}::text[], ${Object.values(slotsPerModel)}::int[]) AS cap (model, slots)
          ON cap.model = waiting.model
        CROSS JOIN LATERAL (
          (SELECT id, priority, 1 AS tried FROM generations
          WHERE project_id = waiting.project_id AND model = waiting.model AND status = 'queued' AND admitted_at IS NULL
          -- Of a model that is full nothing is looked at: it must not stand in the way of another.
          ORDER BY priority DESC, id LIMIT least((SELECT n FROM free),
            CASE WHEN cap.slots IS NOT NULL
              THEN greatest(0, cap.slots - (SELECT ${taken(Prisma.sql`cap.slots`)} FROM held WHERE held.model = waiting.model)) END))
          UNION ALL
          (SELECT id, priority, 0 FROM generations
          WHERE project_id = waiting.project_id AND model = waiting.model AND status = 'queued' AND admitted_at IS NULL
            AND current_submission_id IS NULL
          ORDER BY priority DESC, id LIMIT least((SELECT n FROM free), CASE WHEN trial."isOn" THEN 1 ELSE 0 END))) first
      ), ranked AS (
        SELECT candidate.*, cap.slots AS cap, row_number() OVER (PARTITION BY candidate.model ORDER BY ${ORDER})
          + (SELECT ${taken(Prisma.sql`cap.slots`)} FROM held WHERE held.model = candidate.model) AS model_turn
        FROM candidate LEFT JOIN unnest(${Object.keys(slotsPerModel)}::text[], ${Object.values(slotsPerModel)}::int[]) AS cap (model, slots)
          ON cap.model = candidate.model
        WHERE max_in_flight IS NULL OR turn <= max_in_flight
      ), admitted AS (
        UPDATE generations SET admitted_at = now(), due_at = now() + ${WAKE_GRACE_MS} * interval '1 ms'
        WHERE id = ANY (ARRAY(
            SELECT id FROM ranked WHERE cap IS NULL OR model_turn <= cap
            ORDER BY ${ORDER} LIMIT (SELECT n FROM free)))
          -- In words that do not let Postgres look for them among all that wait.
          AND status::text = 'queued' AND coalesce(admitted_at, 'infinity') = 'infinity'
        RETURNING id, wakes, project_id
      ), counted AS (
        INSERT INTO admissions (project_id, minute, count)
        SELECT project_id, date_trunc('minute', now()), count(*) FROM admitted GROUP BY project_id
        ON CONFLICT (project_id, minute) DO UPDATE SET count = admissions.count + excluded.count
      ), marked AS (
        UPDATE projects SET last_admitted_at = clock_timestamp() WHERE id IN (SELECT project_id FROM admitted)
      )
      SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'wakes', wakes)), '[]') AS admitted, ${GATE_OPENS_MS} AS "opensInMs"
      FROM admitted`
    const { admitted, opensInMs } = row ?? { admitted: [], opensInMs: null }
    const againMs = opensInMs !== null && opensInMs > 0 ? opensInMs : null
    return { admitted, againMs: admitted.length === ADMIT_MAX ? 0 : againMs }
  }
  return await withRetry(() => prisma.$transaction(admit))
}

/** Gives back the slots of what was admitted and not yet submitted, of one project or of all; it waits in its place again. */
export async function releaseAdmitted({ prisma }: Database, projectId: string | null): Promise<number> {
  const release = () => prisma.$executeRaw`
    UPDATE generations SET admitted_at = NULL, due_at = NULL, wakes = wakes + 1
    WHERE id = ANY (ARRAY(
      SELECT id FROM generations WHERE admitted_at IS NOT NULL AND status = 'queued' AND (${projectId}::text IS NULL OR project_id = ${projectId})
      ORDER BY id FOR UPDATE))
      AND status = 'queued'`
  return await withRetry(release)
}
