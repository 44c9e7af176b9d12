// Rows that ended long ago: created by one statement, and purged by direct calls without the pauses of a worker.

import { idBefore } from '@reelqueue/contract/terms/ids'
import type { Database } from '@reelqueue/shared/store/database'
import { HISTORY, type HistoryKind } from '@reelqueue/shared/store/operator/retention'
import type { Seed } from './seed.ts'

/**
 * Creates generations that ended in 2020, each with an event, a submission, a delivery and its attempt. @returns their ids, oldest first
 */
export async function makeOldGenerations(seed: Seed, count: number): Promise<string[]> {
  const start = idBefore('generation', Date.UTC(2020, 0)).slice(0, -8)
  const ids = Array.from({ length: count }, (_, n) => start + String(n).padStart(8, '0'))
  await seed.sql(
    `INSERT INTO generations (id, project_id, model, prompt, status, finished_at)
     SELECT id, $2, 'openAiSora2Plus', 'a fox', 'cancelled', '2020-01-02' FROM unnest($1::text[]) AS id`,
    [ids, seed.projectId],
  )
  await seed.sql(`
    INSERT INTO submissions (id, generation_id, upstream, lease_until) SELECT 'sub_' || id, id, 'globalai', now() FROM generations`)
  await seed.sql(`INSERT INTO events (id, project_id, generation_id, sequence, type, data)
    SELECT 'evt_' || id, project_id, id, 1, 'generation.cancelled', '{}' FROM generations`)
  await seed.sql(`INSERT INTO deliveries (id, project_id, event_id, url, state, next_attempt_at, due_at)
    SELECT 'dlv_' || generation_id, project_id, id, 'https://hooks.example', 'succeeded', NULL, NULL FROM events`)
  await seed.sql(`INSERT INTO delivery_attempts (id, delivery_id, number, message, duration_ms)
    SELECT 'att_' || id, id, 1, 'ok', 1 FROM deliveries`)
  return ids
}

/** Sweeps once over rows that ended more than `days` ago, in pages of `rows`. @returns how many rows of each kind were deleted */
export async function purgeEnded(database: Database, days: number, rows: number, nowMs: number) {
  const purged: Record<HistoryKind['name'], number> = { generations: 0, batches: 0, endpointEvents: 0 }
  for (const kind of HISTORY) {
    let after: string | null = ''
    for (;;) {
      const last: string | null = await kind.lastOfPage(database, { days, nowMs }, after, rows)
      if (last === null) break
      purged[kind.name] += await kind.purge(database, { days, nowMs }, after, last)
      after = last
    }
  }
  return purged
}
