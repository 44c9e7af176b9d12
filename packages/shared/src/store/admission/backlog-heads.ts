// Fragments of the statement of admission: which projects and models are compared. While few projects wait, all of them
// are compared; otherwise only the projects whose turn is next, so the work of one call has a bound.

import type { UpstreamModels } from '../../domain/upstream-models.ts'
import { Prisma } from '../generated/client.ts'

/** Rows admitted by one call, and rows compared by one call: bounds for the transaction that holds the lock. */
const ADMIT_MAX = 1_000
const ROWS_MAX = 20_000
/** Up to this number of waiting projects, all projects are compared. */
const FEW_PROJECTS = 200
/** Further rows in the order of their turns, in the place of locked rows. */
export const EXTRA_ROWS = 50

/** SQL condition: the row waits for admission, word for word as in the index of the backlog. */
export const WAITS = Prisma.sql`status = 'queued' AND admitted_at IS NULL`

/**
 * SQL condition: a generation of the project waits, for a model of the upstream that is not full. Looked up project by
 * project, until there are enough projects.
 */
const hasWork = (models: readonly string[]) => Prisma.sql`
  EXISTS (
    SELECT 1
    FROM unnest(${models}::text[]) AS of (model)
    WHERE of.model NOT IN (SELECT model FROM cap WHERE taken >= slots)
      AND EXISTS (
        SELECT 1
        FROM generations
        WHERE project_id = projects.id AND generations.model = of.model AND ${WAITS}
        OFFSET 0
      )
  )`

/** The projects with a backlog, by id: one probe of the index for each project, whatever waits behind it. */
const OWNER = Prisma.sql`
  owner AS (
    (
      SELECT project_id
      FROM generations
      WHERE ${WAITS} AND (SELECT slots FROM free) > 0
      ORDER BY project_id
      LIMIT 1
    )
    UNION ALL
    SELECT next.project_id
    FROM owner
    CROSS JOIN LATERAL (
      SELECT project_id
      FROM generations
      WHERE ${WAITS} AND project_id > owner.project_id
      ORDER BY project_id
      LIMIT 1
    ) next
  )`

/** The projects with a backlog, as long as there are few. */
const FEW = Prisma.sql`
  few AS MATERIALIZED (
    SELECT project_id
    FROM owner
    LIMIT ${FEW_PROJECTS + 1}::int
  )`

/** The number of slots that this call may give out, and whether only some projects are compared. */
const ROOM = Prisma.sql`
  room AS MATERIALIZED (
    SELECT count(*) > ${FEW_PROJECTS}::int AS "isCrowded",
      least((SELECT slots FROM free), ${ADMIT_MAX}, ${ROWS_MAX}::int / greatest(1, count(*))) AS n
    FROM few
  )`

/** In a crowd: projects without a slot. The project that has waited longest for a slot is first. */
const idle = (models: readonly string[]) => Prisma.sql`
  idle AS MATERIALIZED (
    SELECT id AS project_id
    FROM projects
    WHERE (SELECT "isCrowded" FROM room)
      AND paused_at IS NULL
      AND id NOT IN (SELECT project_id FROM held)
      AND ${hasWork(models)}
    ORDER BY last_admitted_at NULLS FIRST, id
    LIMIT (SELECT n FROM room) + ${EXTRA_ROWS}::int
  )`

/** Rows compared of each project. While enough projects have no slot, no project gets a second slot. */
const SHARE = Prisma.sql`
  share AS (
    SELECT CASE WHEN (SELECT count(*) FROM idle) >= n THEN least(n, 1) ELSE n END AS each
    FROM room
  )`

/** The projects that are compared. */
const CHOSEN = Prisma.sql`
  chosen AS (
    SELECT project_id
    FROM few
    WHERE NOT (SELECT "isCrowded" FROM room)
    UNION ALL
    SELECT project_id
    FROM idle
    UNION ALL
    SELECT DISTINCT project_id
    FROM held
    WHERE (SELECT "isCrowded" FROM room)
      AND (SELECT count(*) FROM idle) < (SELECT n FROM room) + ${EXTRA_ROWS}::int
  )`

/** The models that the chosen projects wait for: one probe of the index for each project and model. */
const WAITING = Prisma.sql`
  waiting AS (
    SELECT chosen.project_id, first.model
    FROM chosen
    CROSS JOIN LATERAL (
      SELECT model
      FROM generations
      WHERE ${WAITS} AND project_id = chosen.project_id
      ORDER BY model
      LIMIT 1
    ) first
    UNION ALL
    SELECT waiting.project_id, next.model
    FROM waiting
    CROSS JOIN LATERAL (
      SELECT model
      FROM generations
      WHERE ${WAITS} AND project_id = waiting.project_id AND model > waiting.model
      ORDER BY model
      LIMIT 1
    ) next
  )`

export const backlogHeads = ({ models }: UpstreamModels) => [OWNER, FEW, ROOM, idle(models), SHARE, CHOSEN, WAITING]
