// Fragments of the statement of admission: which slots are taken, and how many are free. Each fragment is one common
// table expression, named like its constant, and may name the fragments before.

import { FAILURES_MAX } from '../../domain/gate-signal.ts'
import type { UpstreamModels } from '../../domain/upstream-models.ts'
import { Prisma } from '../generated/client.ts'
import { isAfterRefusal, isClosed } from './submitting-gate.ts'

/**
 * Slots taken out of `cap`: slots in flight, and slots kept for renders that no generation waits for. Kept slots take a
 * quarter at most, and never the last slot, so an outage with many kept slots stops nothing. When the provider is
 * really full, the provider answers 429.
 */
const taken = (cap: Prisma.Sql) => Prisma.sql`
  coalesce(
    sum(count)
      + least(
        sum(late),
        CASE WHEN ${cap} IS NOT NULL THEN greatest(0, least(ceil(${cap} / 4.0), ${cap} - 1)) END
      ),
    0
  )`

/** The maximum number of generations in flight of a model; for an unnamed model, the number of slots. */
export type SlotsPerModel = Readonly<Record<string, number>>

/** Taken slots by project and model. */
const HELD = Prisma.sql`
  held AS (
    SELECT project_id, model, sum(count)::int AS count, sum(late)::int AS late,
      sum(starting)::int AS starting
    FROM (
      SELECT project_id, model, count(*), 0 AS late,
        count(*) FILTER (WHERE status <> 'processing') AS starting
      FROM generations
      WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing')
      GROUP BY project_id, model
      UNION ALL
      SELECT project_id, model, 0, count(*), 0
      FROM generations
      WHERE slot_until > now() AND slot_until IS NOT NULL
      GROUP BY project_id, model
    ) AS slots
    GROUP BY project_id, model
  )`

/**
 * Whether a refusal had closed the gate, and the refused project. Then one generation at a time is tried: of another
 * project if another project waits, and a generation that was not refused.
 */
const trial = (upstream: string) => Prisma.sql`
  trial AS (
    SELECT ${isAfterRefusal(upstream)} AS "isOn",
      (
        SELECT refused_project_id
        FROM upstream_gates
        WHERE upstream = ${upstream}
      ) AS refused_project_id
  )`

/** Taken slots of the upstream. */
const own = (models: readonly string[]) => Prisma.sql`
  own AS MATERIALIZED (
    SELECT *
    FROM held
    WHERE model = ANY (${models}::text[])
  )`

/** The number of free slots of the upstream. After missing answers one at a time, until the provider has answered a submission. */
const free = (slots: number, upstream: string) => Prisma.sql`
  free AS (
    SELECT CASE
      WHEN ${isClosed(upstream)} THEN 0
      WHEN (SELECT "isOn" FROM trial) AND (SELECT sum(starting) FROM own) > 0 THEN 0
      ELSE least(
        CASE
          WHEN (SELECT "isOn" FROM trial)
            OR EXISTS (
              SELECT 1
              FROM upstream_gates
              WHERE upstream = ${upstream} AND silences >= ${FAILURES_MAX - 1}
            )
            THEN 1
        END,
        greatest(0, ${slots} - (SELECT ${taken(Prisma.sql`${slots}::int`)} FROM own))
      )
    END AS slots
  )`

/** The limits of models, with the slots that are taken out of each limit. */
const cap = (slotsPerModel: SlotsPerModel) => Prisma.sql`
  cap AS MATERIALIZED (
    SELECT model, slots,
      (SELECT ${taken(Prisma.sql`cap.slots`)} FROM held WHERE held.model = cap.model) AS taken
    FROM unnest(
      ${Object.keys(slotsPerModel)}::text[], ${Object.values(slotsPerModel)}::int[]
    ) AS cap (model, slots)
  )`

/** The taken slots of each project, as an object with the ids of projects: a join would compare each with each. */
const BUSY = Prisma.sql`
  busy AS (
    SELECT jsonb_object_agg(project_id, taken) AS slots
    FROM (
      SELECT project_id, ${taken(Prisma.sql`projects.max_in_flight`)} AS taken
      FROM held
      JOIN projects ON projects.id = held.project_id
      GROUP BY project_id, projects.max_in_flight
    ) each
  )`

export const takenSlots = ({ name, models }: UpstreamModels, slots: number, slotsPerModel: SlotsPerModel) => [
  HELD,
  trial(name),
  own(models),
  free(slots, name),
  cap(slotsPerModel),
  BUSY,
]
