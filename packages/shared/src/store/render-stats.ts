// What clips of each kind took and cost of late: means that forget, so neither the table nor a read grows with history.

import type { Kind, KindStats } from '../domain/batch-estimate.ts'
import type { Database } from './database.ts'
import { Prisma } from './generated/client.ts'

/** What a clip still weighs when the next one of its kind is done: the last fifty or so count. */
const KEPT = 0.98

/** What weighs less is forgotten: prices of long ago, and numbers too small to be multiplied. */
const WEIGHT_MIN = 0.5
/** A clip that took longer was late, or was found late. */
const RENDER_MAX = Prisma.raw(`interval '2 hours'`)

const forgetting = (column: string) =>
  Prisma.sql`excluded.${Prisma.raw(column)} + CASE WHEN known.${Prisma.raw(column)} > 1e-100
    THEN known.${Prisma.raw(column)} * power(${KEPT}::float8, least(excluded.clips, 1000)) ELSE 0 END`

/**
 * Takes the completed ones of `ids` into the means, but for tasks that were adopted: when they began is not known. Those that it is not
 * told of are missing, and nothing else is wrong.
 */
export async function recordRenders({ prisma }: Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await prisma.$executeRaw`
    INSERT INTO render_stats AS known (upstream, model, seconds, size, clips, render_ms, priced, amount)
    SELECT upstream, model, coalesce(seconds, 0), coalesce(size, ''), count(*),
      sum(extract(epoch FROM finished_at - submitted_at) * 1000), count(cost ->> 'amount'), coalesce(sum((cost ->> 'amount')::float8), 0)
    FROM generations g
    WHERE id = ANY (${ids}::text[]) AND status = 'completed' AND upstream IS NOT NULL AND finished_at - submitted_at < ${RENDER_MAX}
      AND NOT EXISTS (SELECT 1 FROM submissions WHERE submissions.id = g.current_submission_id AND adopted_at IS NOT NULL)
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (upstream, model, seconds, size) DO UPDATE SET
      clips = ${forgetting('clips')}, render_ms = ${forgetting('render_ms')}, priced = ${forgetting('priced')}, amount = ${forgetting('amount')}`
}

/** The means of those of `kinds` that are known, over all upstreams. */
export async function readRenderStats({ prisma }: Database, kinds: readonly Kind[]): Promise<KindStats[]> {
  return await prisma.$queryRaw<KindStats[]>`
    SELECT model, nullif(seconds, 0) AS seconds, nullif(size, '') AS size,
      sum(render_ms) / sum(clips) AS "renderMs", CASE WHEN sum(priced) > ${WEIGHT_MIN} THEN sum(amount) / sum(priced) END AS amount
    FROM render_stats
    JOIN unnest(${kinds.map((kind) => kind.model)}::text[], ${kinds.map((kind) => kind.seconds ?? 0)}::int[],
      ${kinds.map((kind) => kind.size ?? '')}::text[]) AS asked (model, seconds, size) USING (model, seconds, size)
    GROUP BY model, seconds, size`
}
