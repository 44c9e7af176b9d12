// The columns that a successful answer sets on a generation.

import { Prisma } from '../generated/client.ts'

/** How long a link works when the answer does not state a life: an earlier version stored such an answer. */
const LINK_LIFE_MS = 24 * 3_600_000

/**
 * The assignments of a completed generation `g`. The expiry counts from the last poll that saw the task unfinished, so it
 * is never later than the truth. An earlier expiry in the answer wins.
 */
export const completedBy = (answer: Prisma.Sql) => Prisma.sql`
  (video_url, actual_duration, cost, video_url_expires_at) = (
    SELECT answer ->> 'videoUrl', (answer ->> 'actualDuration')::float8,
      nullif(answer -> 'cost', 'null'),
      least(
        coalesce(g.last_pending_at, g.submitted_at)
          + coalesce((answer ->> 'linkLifeMs')::float8, ${LINK_LIFE_MS}::float8) * interval '1 ms',
        (answer ->> 'expiresAt')::timestamptz
      )
    FROM (SELECT ${answer}) AS its (answer)
  ),
  error_code = NULL, error_message = NULL, answer = NULL, last_poll = NULL, due_at = NULL`

/** By the answer stored on the row. */
export const COMPLETED = completedBy(Prisma.sql`g.answer`)
