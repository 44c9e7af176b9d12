// Recent render times and costs of each render profile: decayed means and a decayed histogram, so neither the table nor
// a read grows with the history.

import { nameOf, type ProfileStats, type RenderProfile } from '../../domain/batch-estimate.ts'
import { BUCKETS, clipsFor, NO_RENDER_TIMES, type RenderTimes, slowMs, withRender } from '../../domain/render-times.ts'
import type { Database } from '../database.ts'
import { Prisma } from '../generated/client.ts'
import { sql } from '../sql.ts'

/** The weight of a clip after the next clip of its profile: about the last fifty clips count. */
const KEPT = 0.98

/** Below this weight the known prices are too old for a mean. */
const WEIGHT_MIN = 0.5
/** A longer render is left out: the clip was late, or was found late. */
const RENDER_MAX = Prisma.raw(`interval '2 hours'`)

const decayed = (column: string) =>
  Prisma.sql`
    excluded.${Prisma.raw(column)}
    + CASE
      WHEN known.${Prisma.raw(column)} > 1e-100
        THEN known.${Prisma.raw(column)} * power(${KEPT}::float8, least(excluded.clips, 1000))
      ELSE 0
    END`

/** The histogram takes at most this many clips of one profile from `ids`: earlier clips would weigh next to nothing. */
const TIMES_MAX = 200

interface Kept extends RenderProfile {
  readonly upstream: string
  readonly times: RenderTimes
}

/** When a clip was last seen unfinished, and first seen finished, in ms since its submission. */
interface Span extends RenderProfile {
  readonly id: string
  readonly upstream: string
  readonly afterMs: number
  readonly byMs: number
}

/**
 * Adds the completed generations of `ids` to the statistics, except adopted tasks, whose start is not known. A lost
 * call is harmless: its renders are just not counted.
 */
export async function recordRenders({ prisma }: Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  const completed = Prisma.sql`
    id = ANY (${ids}::text[])
    AND status = 'completed'
    AND upstream IS NOT NULL
    AND finished_at - submitted_at < ${RENDER_MAX}
    AND NOT EXISTS (
      SELECT 1
      FROM submissions
      WHERE submissions.id = g.current_submission_id AND adopted_at IS NOT NULL
    )`
  await prisma.$transaction(async (tx) => {
    // Locks the profiles' rows, always in the same order.
    const profiles = await tx.$queryRaw<Kept[]>(sql.named('recordRenders')`
      INSERT INTO render_stats AS known (
        upstream, model, seconds, size, clips, render_ms, priced, amount
      )
      SELECT upstream, model, coalesce(seconds, 0), coalesce(size, ''), count(*),
        sum(extract(epoch FROM finished_at - submitted_at) * 1000), count(cost ->> 'amount'),
        coalesce(sum((cost ->> 'amount')::float8), 0)
      FROM generations g
      WHERE ${completed}
      GROUP BY 1, 2, 3, 4
      ORDER BY 1, 2, 3, 4
      ON CONFLICT (upstream, model, seconds, size) DO UPDATE
      SET clips = ${decayed('clips')}, render_ms = ${decayed('render_ms')},
        priced = ${decayed('priced')}, amount = ${decayed('amount')}
      RETURNING upstream, model, nullif(seconds, 0) AS seconds, nullif(size, '') AS size, times`)
    const spans = await tx.$queryRaw<Span[]>(sql.named('readRenderSpans')`
      SELECT id, upstream, model, nullif(seconds, 0) AS seconds, nullif(size, '') AS size,
        greatest(0, extract(epoch FROM last_pending_at - submitted_at)::float8 * 1000) AS "afterMs",
        greatest(0, extract(epoch FROM finished_at - submitted_at)::float8 * 1000) AS "byMs"
      FROM (
        SELECT *,
          row_number() OVER (
            PARTITION BY upstream, model, seconds, size
            ORDER BY finished_at DESC
          ) AS place
        FROM generations g
        WHERE ${completed}
      ) AS latest
      WHERE place <= ${TIMES_MAX}
      ORDER BY finished_at`)
    for (const profile of profiles) {
      const own = spans.filter((span) => span.upstream === profile.upstream && nameOf(span) === nameOf(profile))
      const times = own.reduce(
        (sum, { id, afterMs, byMs }) => withRender(sum, afterMs, byMs, clipsFor(id)),
        stored(profile),
      )
      await tx.$executeRaw(sql.named('storeRenderTimes')`
        UPDATE render_stats
        SET times = ${times}::float8[], slow_ms = ${slowMs(times)}, changed_at = now()
        WHERE upstream = ${profile.upstream}
          AND model = ${profile.model}
          AND seconds = ${profile.seconds ?? 0}
          AND size = ${profile.size ?? ''}`)
    }
  })
}

/**
 * Empty before the first clip. A different length means that the buckets have changed, and the old weights are useless.
 */
const stored = ({ times }: Pick<Kept, 'times'>) => (times.length === BUCKETS ? times : NO_RENDER_TIMES)

/** The render times of an upstream's render profiles. `changedAt`: the time of the last addition. */
export interface ProfileTimes extends RenderProfile {
  readonly times: RenderTimes
  readonly changedAt: Date
}

export async function readRenderTimes({ prisma }: Database, upstream: string): Promise<ProfileTimes[]> {
  const rows = await prisma.$queryRaw<ProfileTimes[]>(sql.named('readRenderTimes')`
    SELECT model, nullif(seconds, 0) AS seconds, nullif(size, '') AS size, times,
      changed_at AS "changedAt"
    FROM render_stats
    WHERE upstream = ${upstream}`)
  return rows.map((row) => ({ ...row, times: stored(row) }))
}

/**
 * The estimate for one render profile. `slowMs`: 99 of 100 clips took no longer; null while too few clips are known.
 */
export interface RenderEstimate {
  readonly times: RenderTimes
  readonly slowMs: number | null
}

/** `upstream`: null before the submission; then the upstream of the profile's last clip is assumed. */
export async function readRenderEstimate(
  { prisma }: Database,
  upstream: string | null,
  profile: RenderProfile,
): Promise<RenderEstimate> {
  const [row] = await prisma.$queryRaw<RenderEstimate[]>(sql.named('readRenderEstimate')`
    SELECT times, slow_ms AS "slowMs"
    FROM render_stats
    WHERE (upstream = ${upstream} OR ${upstream}::text IS NULL)
      AND model = ${profile.model}
      AND seconds = ${profile.seconds ?? 0}
      AND size = ${profile.size ?? ''}
    ORDER BY changed_at DESC
    LIMIT 1`)
  return row ? { ...row, times: stored(row) } : { times: NO_RENDER_TIMES, slowMs: null }
}

/**
 * The number of generations that render for longer than 99 of 100 clips of their profile; counted over generations in
 * flight.
 */
export async function countSlowRenders({ prisma }: Database): Promise<number> {
  const [row] = await prisma.$queryRaw<{ count: number }[]>(sql.named('countSlowRenders')`
    SELECT count(*)::int AS count
    FROM generations g
    JOIN render_stats known ON known.upstream = g.upstream
      AND known.model = g.model
      AND known.seconds = coalesce(g.seconds, 0)
      AND known.size = coalesce(g.size, '')
    WHERE g.admitted_at IS NOT NULL
      AND g.status IN ('queued', 'submitting', 'processing')
      AND g.status = 'processing'
      AND g.submitted_at < now() - known.slow_ms * interval '1 ms'`)
  return row?.count ?? 0
}

/** The means of the known render profiles among `profiles`, over all upstreams. */
export async function readRenderStats(
  { prisma }: Database,
  profiles: readonly RenderProfile[],
): Promise<ProfileStats[]> {
  return await prisma.$queryRaw<ProfileStats[]>(sql.named('readRenderStats')`
    SELECT model, nullif(seconds, 0) AS seconds, nullif(size, '') AS size,
      sum(render_ms) / sum(clips) AS "renderMs",
      CASE WHEN sum(priced) > ${WEIGHT_MIN} THEN sum(amount) / sum(priced) END AS amount
    FROM render_stats
    JOIN unnest(
      ${profiles.map((profile) => profile.model)}::text[],
      ${profiles.map((profile) => profile.seconds ?? 0)}::int[],
      ${profiles.map((profile) => profile.size ?? '')}::text[]
    ) AS asked (model, seconds, size) USING (model, seconds, size)
    GROUP BY model, seconds, size`)
}
