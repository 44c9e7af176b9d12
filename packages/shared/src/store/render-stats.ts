// What clips of each kind took and cost of late: means that forget, so neither the table nor a read grows with history.

import type { Kind, KindStats } from '../domain/batch-estimate.ts'
import type { Database } from './database.ts'

/** What a clip still weighs when the next one of its kind is done: the last fifty or so count. */
const KEPT = 0.98

/** Takes the completed ones of `ids` into the means. Those that it is not told of are missing, and nothing else is wrong. */
export async function recordRenders({ prisma }: Database, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return
  await prisma.$executeRaw`
    INSERT INTO render_stats AS known (upstream, model, seconds, size, clips, render_ms, priced, amount)
    SELECT upstream, model, coalesce(seconds, 0), coalesce(size, ''), count(*),
      sum(extract(epoch FROM finished_at - submitted_at) * 1000), count(cost ->> 'amount'), coalesce(sum((cost ->> 'amount')::float8), 0)
    FROM generations
    WHERE id = ANY (${ids}::text[]) AND status = 'completed' AND upstream IS NOT NULL AND submitted_at IS NOT NULL
    GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
    ON CONFLICT (upstream, model, seconds, size) DO UPDATE SET
      clips = excluded.clips + known.clips * power(${KEPT}::float8, excluded.clips),
      render_ms = excluded.render_ms + known.render_ms * power(${KEPT}::float8, excluded.clips),
      priced = excluded.priced + known.priced * power(${KEPT}::float8, excluded.clips),
      amount = excluded.amount + known.amount * power(${KEPT}::float8, excluded.clips)`
}

/** The means of those of `kinds` that are known, over all upstreams. */
export async function readRenderStats({ prisma }: Database, kinds: readonly Kind[]): Promise<KindStats[]> {
  return await prisma.$queryRaw<KindStats[]>`
    SELECT model, nullif(seconds, 0) AS seconds, nullif(size, '') AS size,
      sum(render_ms) / sum(clips) AS "renderMs", CASE WHEN sum(priced) > 0 THEN sum(amount) / sum(priced) END AS amount
    FROM render_stats
    JOIN unnest(${kinds.map((kind) => kind.model)}::text[], ${kinds.map((kind) => kind.seconds ?? 0)}::int[],
      ${kinds.map((kind) => kind.size ?? '')}::text[]) AS asked (model, seconds, size) USING (model, seconds, size)
    GROUP BY model, seconds, size`
}
