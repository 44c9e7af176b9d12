// `npm run bench -- --deliveries`: the cost of a million pending deliveries to ten thousand dead origins: reconcile's look, and changes of
// an endpoint with six tenths of the deliveries.

import { openDatabase } from '@reelqueue/shared/store/database'
import { changeEndpoint } from '@reelqueue/shared/store/deliveries/endpoints'
import { claimOverdueDeliveries } from '@reelqueue/shared/store/lifecycle/overdue'
import pg from 'pg'
import type { Servers } from './servers.ts'
import { timeStatement } from './statement-time.ts'

const SERVERS = 10_000
const EACH = 100
const OF_ENDPOINT = 6_000
const PAGE = 500

/** @returns a table in Markdown */
export async function measureDeliveries({ databaseUrl }: Servers): Promise<string> {
  const client = new pg.Client({ connectionString: databaseUrl })
  await client.connect()
  const run = (text: string, values: unknown[] = []) => client.query(text, values)
  const lines = ['| what | rows | ms | of it processor |', '| --- | --: | --: | --: |']
  const note = (what: string, rows: number, ms: number, cpuMs: number | null = null) =>
    lines.push(`| ${what} | ${rows.toLocaleString('en')} | ${ms.toFixed(0)} | ${cpuMs?.toFixed(0) ?? ''} |`)
  const look = async (what: string) => {
    const { count, ms, cpuMs } = await timeStatement(databaseUrl, {
      act: async (database) => {
        await claimOverdueDeliveries(database, PAGE)
        await database.prisma.$executeRaw`UPDATE deliveries SET wakes = 0, due_at = next_attempt_at WHERE wakes > 0`
      },
      name: 'claimOverdueDeliveries',
      counted: 'SELECT count(*)::int AS count FROM deliveries WHERE wakes > 0',
    })
    note(`reconcile's look: ${what}`, count, ms, cpuMs)
  }
  const database = openDatabase(databaseUrl, console.error)
  try {
    await makePending(run)
    await look('all are due')
    await run(
      `INSERT INTO target_rests SELECT DISTINCT target, now() + interval '1 hour' FROM deliveries WHERE url NOT LIKE '%h9999.%'`,
    )
    await run('VACUUM ANALYZE target_rests')
    await look('all servers but one rest')
    const { rows } = await run('SELECT id FROM webhook_endpoints')
    const [endpoint] = rows as { id: string }[]
    if (!endpoint) throw new Error('no endpoint')
    const timed = async (act: () => Promise<unknown>) => {
      const startedAt = performance.now()
      await act()
      return performance.now() - startedAt
    }
    const pending = SERVERS * EACH * (OF_ENDPOINT / SERVERS)
    const change = (changes: Parameters<typeof changeEndpoint>[2]) => changeEndpoint(database, endpoint.id, changes)
    note("an endpoint's URL is changed", pending, await timed(() => change({ url: 'https://new.example/' })))
    note('the endpoint is disabled, up to the reply', pending, await timed(() => change({ enabled: false })))
    return lines.join('\n')
  } finally {
    await database.close()
    await run('TRUNCATE projects, target_rests CASCADE')
    await client.end()
  }
}

async function makePending(run: (text: string, values?: unknown[]) => Promise<unknown>): Promise<void> {
  await run('SET synchronous_commit = off')
  await run(`INSERT INTO projects (id, name, webhook_secret) VALUES (new_id('prj'), 'p', 's')`)
  await run(
    `INSERT INTO webhook_endpoints (id, project_id, url, event_types, secret) SELECT new_id('ep'), id, 'https://h1.example/', '{}', 's' FROM projects`,
  )
  await run(
    `INSERT INTO events (id, project_id, endpoint_id, sequence, type, data)
    SELECT new_id('evt'), project_id, id, n, 'endpoint.test', '{}' FROM webhook_endpoints, generate_series(1, $1::int) n`,
    [EACH],
  )
  await run(
    `INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, next_attempt_at, due_at)
    SELECT new_id('dlv'), event.project_id, event.id, CASE WHEN n <= $2 THEN event.endpoint_id END, 'https://h' || n || '.example/',
      now() - interval '1 minute', now() - interval '1 minute'
    FROM events event, generate_series(1, $1::int) n`,
    [SERVERS, OF_ENDPOINT],
  )
  await run('VACUUM ANALYZE')
}
