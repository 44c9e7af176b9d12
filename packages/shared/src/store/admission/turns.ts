// Fragments of the statement of admission: whose turn is next among the heads of the backlog. `domain/next-in-line.ts`
// has the same rule in TypeScript; a property test compares both.

import type { UpstreamModels } from '../../domain/upstream-models.ts'
import { Prisma } from '../generated/client.ts'
import { isStorable } from '../unstorable.ts'
import { EXTRA_ROWS, WAITS } from './backlog-heads.ts'

/**
 * Rows of a project that are skipped because their batches are being cancelled, or Postgres refuses to write the rows.
 * A row behind more skipped rows waits.
 */
const PASSED_OVER_MAX = 2_000

/**
 * The order of turns: the project with fewer slots, then the project that has waited longer for a slot, and within a
 * project its own order.
 */
const ORDER = Prisma.sql`trial, turn, last_admitted_at NULLS FIRST, priority DESC, id`

/** The batches that are being cancelled, and their projects. */
const CANCELLED = Prisma.sql`
  cancelled AS (
    SELECT coalesce(array_agg(id), '{}') AS ids, coalesce(array_agg(project_id), '{}') AS projects
    FROM batches
    WHERE cancel_requested_at IS NOT NULL
  )`

/** The number of rows that Postgres refuses to write. */
const UNSTORABLE = Prisma.sql`
  unstorable AS (
    SELECT least(count(*), ${PASSED_OVER_MAX})::int AS count
    FROM unstorable_rows
    WHERE retry_at > now()
  )`

/** SQL condition: the row's batch is not being cancelled, and Postgres does not refuse to write the row. */
const IS_WANTED = Prisma.sql`
  coalesce(batch_id <> ALL ((SELECT ids FROM cancelled)::text[]), true)
  AND ${isStorable('ahead.id')}`

/** How many rows of a project and model are compared, and how many may be skipped. Of a full model, none. */
const LOOK = Prisma.sql`
  SELECT least(
      (SELECT each FROM share),
      CASE WHEN cap.slots IS NOT NULL THEN greatest(0, cap.slots - cap.taken) END
    ) AS rows,
    CASE
        WHEN waiting.project_id = ANY ((SELECT projects FROM cancelled)::text[])
          THEN ${PASSED_OVER_MAX}::int
        ELSE 0
      END
      + (SELECT count FROM unstorable) AS passed`

/** The first `rows` rows of a project and model that match `which`, with `tried` as a column. */
const first = (rows: Prisma.Sql, tried: Prisma.Sql, which = Prisma.empty) => Prisma.sql`
  SELECT id, priority, ${tried} AS tried
  FROM (
    SELECT id, priority, batch_id
    FROM generations
    WHERE project_id = waiting.project_id AND model = waiting.model AND ${WAITS} ${which}
    ORDER BY priority DESC, id
    LIMIT CASE WHEN look.rows > 0 AND ${rows} > 0 THEN ${rows} + look.passed ELSE 0 END
  ) ahead
  WHERE ${IS_WANTED}
  ORDER BY priority DESC, id
  LIMIT ${rows}`

/** The rows to compare of a project and model. */
const AHEAD = first(Prisma.sql`look.rows`, Prisma.sql`1`)

/** In a trial, one row more: the first row that was not tried. The row may be among the others too. */
const UNTRIED = first(Prisma.sql`(trial."isOn")::int`, Prisma.sql`0`, Prisma.sql`AND current_submission_id IS NULL`)

/**
 * The compared rows with their turns. The turn is the number of slots of the project when the row has its slot. In a
 * trial, the refused project comes last, and so does a row that was tried.
 */
const candidate = (models: readonly string[]) => Prisma.sql`
  candidate AS (
    SELECT first.id, first.priority,
      CASE
        WHEN trial."isOn"
          THEN coalesce(waiting.project_id = trial.refused_project_id, false)::int * 2 + first.tried
        ELSE 0
      END AS trial,
      waiting.project_id, waiting.model, projects.max_in_flight, projects.last_admitted_at,
      cap.slots AS cap, cap.taken AS cap_taken,
      coalesce(((SELECT slots FROM busy) ->> waiting.project_id)::float8, 0)
        + dense_rank() OVER (
          PARTITION BY waiting.project_id
          ORDER BY first.priority DESC, first.id
        ) AS turn
    FROM trial
    CROSS JOIN waiting
    JOIN projects ON projects.id = waiting.project_id AND projects.paused_at IS NULL
    LEFT JOIN cap ON cap.model = waiting.model
    CROSS JOIN LATERAL (${LOOK}) look
    CROSS JOIN LATERAL (
      (${AHEAD})
      UNION ALL
      (${UNTRIED})
    ) first
    WHERE waiting.model = ANY (${models}::text[])
  )`

/** The candidates within the limits of their projects, with their turns among the candidates of their models. */
const RANKED = Prisma.sql`
  ranked AS (
    SELECT candidate.*,
      row_number() OVER (PARTITION BY candidate.model ORDER BY ${ORDER}) + cap_taken AS model_turn
    FROM candidate
    WHERE max_in_flight IS NULL OR turn <= max_in_flight
  )`

/** The rows whose turn it is, within the limits of their models. */
const NEXT = Prisma.sql`
  next AS (
    SELECT id, row_number() OVER (ORDER BY ${ORDER}) AS number
    FROM ranked
    WHERE cap IS NULL OR model_turn <= cap
    ORDER BY ${ORDER}
    LIMIT (SELECT n FROM room) + ${EXTRA_ROWS}::int
  )`

/**
 * The rows that get a slot, locked. A row that another transaction has locked is skipped: no other row may wait for the
 * lock. The condition on the status is written so that Postgres does not look for the rows in the backlog. A row that
 * is twice among the next has its first number.
 */
const LOCKED = Prisma.sql`
  locked AS MATERIALIZED (
    SELECT id
    FROM generations
    WHERE id = ANY (ARRAY(SELECT id FROM next))
      AND status::text = 'queued'
      AND coalesce(admitted_at, 'infinity') = 'infinity'
    ORDER BY ((SELECT jsonb_object_agg(id, number ORDER BY number DESC) FROM next) ->> id)::int
    LIMIT (SELECT n FROM room)
    FOR UPDATE SKIP LOCKED
  )`

export const turns = ({ models }: UpstreamModels) => [CANCELLED, UNSTORABLE, candidate(models), RANKED, NEXT, LOCKED]
