// `npm run bench -- --admission`: the cost of one admission run for Postgres, with many waiting projects, and behind a large batch that is
// being cancelled. EXPLAIN ANALYZE runs the real statements of the store and rolls back; planning time counts too.

import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import pg from 'pg'
import type { Servers } from './servers.ts'
import { timeStatement } from './statement-time.ts'

const PROJECTS = 10_000
const WAITING_EACH = 10
const LARGE_BATCH = 50_000

/** @returns a table in Markdown */
export async function measureAdmission({ databaseUrl }: Servers): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const run = (text: string, values: unknown[] = []) => client.query(text, values)
  const lines = ['| what waits | slots | admitted | ms of Postgres |', '| --- | --: | --: | --: |']
  const measure = async (what: string, slots: number) => {
    await run('VACUUM ANALYZE')
    const { admitted, ms } = await timeOf(databaseUrl, slots)
    lines.push(`| ${what} | ${slots} | ${admitted} | ${ms.toFixed(1)} |`)
  }
  try {
    await run(
      `INSERT INTO projects (id, name, webhook_secret) SELECT new_id('prj'), 'p' || n, 's' FROM generate_series(1, $1::int) n`,
      [PROJECTS],
    )
    await run(
      `INSERT INTO generations (id, project_id, model, prompt)
      SELECT new_id('gen'), id, CASE WHEN n % 2 = 0 THEN 'openAiSora2Plus' ELSE 'openAiSora2Pro' END, 'a fox'
      FROM generate_series(1, $1::int) n, projects`,
      [WAITING_EACH],
    )
    const many = `${PROJECTS.toLocaleString('en')} projects with ${WAITING_EACH} each`
    await measure(many, 1)
    await measure(many, 100)
    await run(
      `UPDATE generations SET admitted_at = now(), due_at = now() WHERE id IN (SELECT min(id) FROM generations GROUP BY project_id LIMIT 599)`,
    )
    await measure(`${many}, 599 slots taken`, 600)
    await run('TRUNCATE projects CASCADE')
    await run(
      `INSERT INTO projects (id, name, webhook_secret) SELECT new_id('prj'), 'p' || n, 's' FROM generate_series(1, 2) n`,
    )
    await run(
      `INSERT INTO batches (id, project_id, total, cancel_requested_at) SELECT new_id('batch'), id, $1, now() FROM projects WHERE name = 'p1'`,
      [LARGE_BATCH],
    )
    await run(
      `INSERT INTO generations (id, project_id, batch_id, model, prompt)
      SELECT new_id('gen'), batches.project_id, batches.id, 'openAiSora2Plus', 'a fox' FROM batches, generate_series(1, $1::int) n`,
      [LARGE_BATCH],
    )
    await run(
      `INSERT INTO generations (id, project_id, model, prompt) SELECT new_id('gen'), id, 'openAiSora2Plus', 'a fox' FROM projects, generate_series(1, 10)`,
    )
    const behind = `ten of each of two projects, behind ${LARGE_BATCH.toLocaleString('en')} of one that are being cancelled`
    await measure(behind, 1)
    await measure(behind, 100)
    return lines.join('\n')
  } finally {
    await run('TRUNCATE projects CASCADE')
    await client.end()
  }
}

/** Runs the real admission statement, counts the admitted rows and rolls back. */
async function timeOf(databaseUrl: string, slots: number): Promise<{ admitted: number; ms: number }> {
  const { count, ms } = await timeStatement(databaseUrl, {
    act: async (database) => {
      // A paused upstream admits nothing: the statement is recorded, and the backlog stays.
      await database.prisma.$executeRaw`INSERT INTO upstream_gates (upstream, paused_at) VALUES ('globalai', now())`
      await admitGenerations(database, CONFIGURED, slots)
      await database.prisma.$executeRaw`DELETE FROM upstream_gates`
    },
    name: 'giveSlots',
    counted: 'SELECT count(*)::int AS count FROM generations WHERE admitted_at = now()::timestamptz(3)',
  })
  return { admitted: count, ms }
}
