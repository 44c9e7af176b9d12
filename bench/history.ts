// A history: ended generations, in batches and single, with their ledger, events and deliveries; a backlog; and a few generations in each
// open status. Built by statements inside Postgres, because a million requests would take an hour.

import pg from 'pg'

export interface History {
  /** The project with the most rows. */
  readonly projectId: string
  /** A batch of a thousand generations, partly ended. */
  readonly batchId: string
}

/** Fills an empty database. One generation in a hundred waits; every second generation belongs to one of a thousand batches. */
export async function makeHistory(databaseUrl: string, generations: number): Promise<History> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  try {
    await client.query('SET synchronous_commit = off')
    const run = (text: string, values: unknown[] = []) => client.query(text, values)
    await run(
      `INSERT INTO projects (id, name, webhook_secret) SELECT new_id('prj'), 'p' || n, 's' FROM generate_series(1, 50) n`,
    )
    await run(
      `INSERT INTO batches (id, project_id, total, completed_at)
      SELECT new_id('batch'), project.id, $1, CASE WHEN n > 10 THEN now() END FROM generate_series(1, 1000) n
        JOIN (SELECT id, row_number() OVER (ORDER BY id) AS number FROM projects) project ON project.number = 1 + n % 50`,
      [generations / 2_000],
    )
    await run(
      `CREATE TEMP TABLE numbered AS SELECT id, project_id, row_number() OVER (ORDER BY id) AS number FROM batches`,
    )
    await run(
      `INSERT INTO generations (id, project_id, batch_id, custom_id, model, prompt, status, admitted_at, due_at, submitted_at,
        upstream, upstream_task_id, video_url, video_url_expires_at, finished_at, event_seq)
      SELECT new_id('gen'), batch.project_id, CASE WHEN n % 2 = 0 THEN batch.id END, 'c-' || n, 'openAiSora2Plus', repeat('a fox ', 20), status,
        CASE WHEN status <> 'queued' THEN now() END, CASE WHEN status IN ('submitting', 'processing') THEN now() + n % 60 * interval '1 s' END,
        CASE WHEN status <> 'queued' THEN now() END, 'globalai', CASE WHEN status <> 'queued' THEN 'sora_' || n END, 'https://v', now(),
        CASE WHEN status IN ('completed', 'failed') THEN now() END, 2
      FROM generate_series(1, $1::int) n JOIN numbered batch ON batch.number = 1 + n / 2 % 1000,
        LATERAL (SELECT (CASE WHEN n % 100 < 2 AND batch.number <= 500 THEN 'queued' WHEN n % 5003 = 0 THEN 'processing' WHEN n % 5009 = 0 THEN 'submitting'
          ELSE 'completed' END)::generation_status AS status) kind`,
      [generations],
    )
    await run(`INSERT INTO submissions (id, generation_id, upstream, state, upstream_task_id, lease_until)
      SELECT new_id('sub'), id, 'globalai', 'accepted', upstream_task_id, now() FROM generations WHERE status <> 'queued'`)
    await run(`INSERT INTO events (id, project_id, generation_id, sequence, type, data)
      SELECT new_id('evt'), project_id, id, n, 'generation.queued', '{"status":"queued"}' FROM generations, generate_series(1, 2) n`)
    await run(`INSERT INTO deliveries (id, project_id, event_id, url, state, next_attempt_at, due_at)
      SELECT new_id('dlv'), project_id, id, 'https://e.com', state::delivery_state, at, at FROM events,
        LATERAL (SELECT CASE WHEN random() < 0.001 THEN 'pending' ELSE 'succeeded' END AS state) kind,
        LATERAL (SELECT CASE WHEN state = 'pending' THEN now() END AS at) due WHERE sequence = 2`)
    await run('VACUUM ANALYZE')
    const { rows } = await run(`SELECT id, project_id FROM numbered WHERE number = 1`)
    const [batch] = rows as { id: string; project_id: string }[]
    if (!batch) throw new Error('no batch')
    return { projectId: batch.project_id, batchId: batch.id }
  } finally {
    await client.end()
  }
}
