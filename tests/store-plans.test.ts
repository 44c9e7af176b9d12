// Plans of the frequent statements on a table with a history: each statement uses its index, both with the store's
// planner settings and with a free planner. The statements are the store's own, recorded on the way to Postgres and
// explained with the same parameters.

import { newId } from '@reelqueue/contract/terms/ids'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { findLastPosition } from '@reelqueue/shared/store/admission/queue-position'
import { PLANNING } from '@reelqueue/shared/store/database'
import { cancelUnwanted, giveUpWaiting } from '@reelqueue/shared/store/deliveries/delivery-ends'
import { busyOrigins } from '@reelqueue/shared/store/deliveries/delivery-holds'
import { listDeliveries } from '@reelqueue/shared/store/deliveries/delivery-log'
import { disableEndpoint } from '@reelqueue/shared/store/deliveries/endpoint-events'
import { fanOutPage, nextToFanOut } from '@reelqueue/shared/store/deliveries/fan-out'
import { redeliverFailed } from '@reelqueue/shared/store/deliveries/redelivery'
import { countByStatus, finishBatches, listBatches } from '@reelqueue/shared/store/intake/batches'
import {
  endedAmong,
  findByIdempotencyKey,
  findGeneration,
  listEvents,
  listGenerations,
} from '@reelqueue/shared/store/intake/generation-reads'
import { changePage } from '@reelqueue/shared/store/lifecycle/batch-change-pages'
import { claimChange, markCancelled } from '@reelqueue/shared/store/lifecycle/batch-changes'
import {
  claimOverdueDeliveries,
  claimOverdueGenerations,
  endedBatches,
  requeueNow,
} from '@reelqueue/shared/store/lifecycle/overdue'
import { claimDuePolls, isPollDueWithin } from '@reelqueue/shared/store/lifecycle/polling'
import { beginSubmission } from '@reelqueue/shared/store/lifecycle/submissions'
import { findAnything } from '@reelqueue/shared/store/operator/find'
import { listAllGenerations } from '@reelqueue/shared/store/operator/generation-list'
import { overdueWork } from '@reelqueue/shared/store/operator/health'
import { countOpenWork } from '@reelqueue/shared/store/operator/metrics'
import { isPrepared } from '@reelqueue/shared/store/sql'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { PLAIN_SESSION } from './support/database.ts'
import { claimDelivery, claimNextDelivery } from './support/deliveries.ts'
import { purgeEnded } from './support/history.ts'
import { beginRequestFor, type Seed, seedDatabase } from './support/seed.ts'

const ROWS = 50_000
const DAY_MS = 24 * 3_600_000

let seed: Seed
let partial: ReadonlySet<string>
let planners: Readonly<Record<Planner, pg.Pool>>
const batchId = newId('batch')
const endpointId = newId('endpoint')
let anyId: string

/** Ended generations with events and deliveries, a backlog, and a few rows in each open status. */
beforeAll(async () => {
  seed = await seedDatabase()
  await seed.sql(
    `INSERT INTO projects (id, name, webhook_secret) SELECT new_id('prj'), 'p' || n, 's' FROM generate_series(1, 99) n`,
  )
  await seed.sql(
    `INSERT INTO batches (id, project_id, total, completed_at) SELECT new_id('batch'), id, 20, now() FROM projects, generate_series(1, 50)`,
  )
  await seed.sql(`INSERT INTO batches (id, project_id, total) VALUES ($1, $2, 100)`, [batchId, seed.projectId])
  await seed.sql(
    `INSERT INTO generations (id, project_id, batch_id, custom_id, idempotency_key, model, prompt, status, admitted_at,
       due_at, submitted_at, upstream, upstream_task_id, video_url, video_url_expires_at, finished_at)
     SELECT new_id('gen'), project.id, CASE WHEN n % 500 = 0 THEN $1 END, 'c-' || n, 'k-' || n, 'openAiSora2Plus', 'a fox', kind.status,
       CASE WHEN kind.status <> 'queued' THEN now() END,
       CASE WHEN kind.status IN ('submitting', 'processing') THEN now() - interval '1 s' END, now(), 'globalai', 'sora_' || n,
       'https://v', now(), CASE WHEN kind.status = 'completed' THEN now() END
     FROM generate_series(1, $2::int) n JOIN (SELECT id, row_number() OVER () AS number FROM projects) project ON project.number = 1 + n / 10 % 100,
       LATERAL (SELECT (CASE WHEN n % 10 = 0 THEN 'queued' WHEN n % 501 = 0 THEN 'processing'
       WHEN n % 502 = 0 THEN 'submitting' ELSE 'completed' END)::generation_status AS status) kind`,
    [batchId, ROWS],
  )
  await seed.sql(`INSERT INTO submissions (id, generation_id, upstream, lease_until)
    SELECT new_id('sub'), id, 'globalai', now() FROM generations`)
  await seed.sql(`INSERT INTO events (id, project_id, generation_id, sequence, type, data)
    SELECT new_id('evt'), project_id, id, 1, 'generation.queued', '{"status":"queued"}' FROM generations`)
  await seed.sql(
    `INSERT INTO webhook_endpoints (id, project_id, url, event_types, secret) VALUES ($1, $2, 'https://e.com', '{}', 's')`,
    [endpointId, seed.projectId],
  )
  await seed.sql(
    `INSERT INTO deliveries (id, project_id, event_id, endpoint_id, url, state, next_attempt_at, due_at)
    SELECT new_id('dlv'), project_id, id, CASE WHEN project_id = $2 THEN $1 END, 'https://h' || n % 50 || '.example/', state::delivery_state, at, at
    FROM (SELECT *, row_number() OVER () AS n FROM events) numbered,
      LATERAL (SELECT CASE WHEN n % 100 = 0 THEN 'pending' WHEN n % 99 = 0 THEN 'failed' ELSE 'succeeded' END AS state,
        CASE WHEN n % 100 = 0 THEN now() END AS at) kind`,
    [endpointId, seed.projectId],
  )
  const [queued] = await seed.sql<{ id: string }>(
    `SELECT id FROM generations WHERE status = 'queued' AND project_id = $1 LIMIT 1`,
    [seed.projectId],
  )
  anyId = queued?.id ?? ''
  await seed.sql(
    `INSERT INTO pending_fan_outs (project_id, id) SELECT project_id, replace(id, 'gen', 'evt') FROM generations`,
  )
  // The statistics stay those of this moment: an analysis in the middle of the cases would change the plans.
  for (const table of ['generations', 'batches', 'submissions', 'events', 'deliveries', 'pending_fan_outs']) {
    await seed.sql(`ALTER TABLE ${table} SET (autovacuum_enabled = false)`)
  }
  await seed.sql('ANALYZE')
  const indexes = await seed.sql<{ name: string }>(
    `SELECT relname AS name FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid WHERE indpred IS NOT NULL`,
  )
  partial = new Set(indexes.map((index) => index.name))
  planners = {
    "the store's": new pg.Pool({
      connectionString: seed.url,
      onConnect: (client) => client.query(`${PLAIN_SESSION}; ${PLANNING}`),
    }),
    free: new pg.Pool({ connectionString: seed.url, onConnect: (client) => client.query(PLAIN_SESSION) }),
  }
})
afterAll(async () => {
  await Promise.all(Object.values(planners).map((pool) => pool.end()))
  await seed.close()
})

const PLANNERS = ["the store's", 'free'] as const
type Planner = (typeof PLANNERS)[number]

interface Plan {
  readonly 'Node Type': string
  readonly 'Index Cond'?: string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly Plans?: readonly Plan[]
}

/** The statements sent by `act`, as plans, node by node. */
async function plansOf(act: () => Promise<unknown>, planner: Planner): Promise<Plan[]> {
  const overheard = vi.spyOn(pg.Client.prototype, 'query')
  await act()
  const statements = overheard.mock.calls.map((call) => statementOf(call as readonly unknown[]))
  overheard.mockRestore()
  const plans: Plan[] = []
  for (const { text, values } of statements) {
    if (!/\b(generations|deliveries|batches|events|submissions|pending_fan_outs)\b/.test(text)) continue
    const results = await planners[planner].query<{ 'QUERY PLAN': [{ Plan: Plan }] }>(...explanationOf(text, values))
    const [row] = [results].flat().flatMap(({ rows }) => rows)
    if (row) plans.push(...nodesOf(row['QUERY PLAN'][0].Plan))
  }
  return plans
}

/**
 * A prepared statement has a plan without known parameters. `EXPLAIN (GENERIC_PLAN)` needs a Postgres newer than 14.
 */
function explanationOf(text: string, values: unknown[]): [string, unknown[]?] {
  if (!isPrepared(text)) return [`EXPLAIN (FORMAT JSON) ${text}`, values]
  const execute = `EXPLAIN (FORMAT JSON) EXECUTE kept(${values.map(() => 'NULL').join()})`
  return [`SET LOCAL plan_cache_mode = force_generic_plan; PREPARE kept AS ${text}; ${execute}; DEALLOCATE kept`]
}

function statementOf([config, values]: readonly unknown[]): { text: string; values: unknown[] } {
  if (typeof config === 'string') return { text: config, values: Array.isArray(values) ? values : [] }
  const given = config as { text: string; values?: unknown[] }
  return { text: given.text, values: given.values ?? (Array.isArray(values) ? values : []) }
}

function nodesOf(plan: Plan): Plan[] {
  return [plan, ...(plan.Plans ?? []).flatMap(nodesOf)]
}

/** Full scans: of a table, or of an index that is not partial. */
function readWhole(nodes: readonly Plan[]): Plan[] {
  return nodes.filter((node) => {
    if (!TABLES.includes(node['Relation Name'] ?? '')) return false
    if (node['Node Type'] === 'Seq Scan') return true
    return (
      /^Index (Only )?Scan/.test(node['Node Type']) && !node['Index Cond'] && !partial.has(node['Index Name'] ?? '')
    )
  })
}

const TABLES = ['generations', 'deliveries', 'batches', 'events', 'submissions']
// Both indexes give the page in order; the cheaper index depends on the project's share of rows.
const LIST = /generations_(project_id_id_idx|pkey)/

describe.each(PLANNERS)(`with ${ROWS} generations, %s plans use an index and read no whole table:`, (planner) => {
  const project = () => seed.projectId
  const origin = () => `${project()} https://h0.example`
  const database = () => seed.database
  const cases: [string, string | RegExp, () => Promise<unknown>][] = [
    ['list', LIST, () => listGenerations(database(), project(), {}, 51)],
    ['list, next page', LIST, () => listGenerations(database(), project(), {}, 51, anyId)],
    [
      'list by a rare status',
      'generations_ended_idx',
      () => listGenerations(database(), project(), { status: 'failed' }, 51),
    ],
    [
      'list of what waits',
      'generations_queued_idx',
      () => listGenerations(database(), project(), { status: 'queued' }, 51),
    ],
    [
      'list of what is in flight',
      'generations_slots_idx',
      () => listGenerations(database(), project(), { status: 'submitting' }, 51),
    ],
    [
      'list by custom id',
      'generations_custom_id_idx',
      () => listGenerations(database(), project(), { customId: 'c-7' }, 51),
    ],
    ['list of a batch', 'generations_project_batch_idx', () => listGenerations(database(), project(), { batchId }, 51)],
    ['one generation', LIST, () => findGeneration(database(), project(), anyId)],
    ['idempotency key', 'generations_idempotency_key', () => findByIdempotencyKey(database(), project(), 'k-7')],
    ['those who wait', 'generations_pkey', () => endedAmong(database(), [anyId])],
    ['timeline', 'events_generation_id_sequence_key', () => listEvents(database(), anyId, 100)],
    ['batch counts', 'generations_batch_status_idx', () => countByStatus(database(), [batchId])],
    [
      'list of batches',
      /batches_(project_id_id_idx|pkey|project_id_idempotency)/,
      () => listBatches(database(), project(), 51),
    ],
    ['ended batches', 'batches_open_idx', () => endedBatches(database(), 500)],
    ['end of a batch', 'generations_batch_status_idx', () => finishBatches(database(), [batchId])],
    ['claim of polls', 'generations_poll_due_idx', () => claimDuePolls(database(), 100, 1_000)],
    ['look at polls to come', 'generations_poll_due_idx', () => isPollDueWithin(database(), 60_000)],
    [
      'claim of overdue rows',
      'generations_wake_due_idx',
      () => claimOverdueGenerations(database(), 500, ['submit', 'complete']),
    ],
    ['claim of overdue deliveries', 'deliveries_target_idx', () => claimOverdueDeliveries(database(), 500)],
    ['end of graces', 'generations_wake_due_idx', () => requeueNow(database(), 500)],
    ['end of graces of deliveries', 'deliveries_due_idx', () => requeueNow(database(), 500)],
    ['claim of a delivery', 'deliveries_pkey', () => claimDelivery(database(), 'dlv_none', 1_000)],
    ['next delivery of a server', 'deliveries_target_idx', () => claimNextDelivery(database(), origin(), 1_000)],
    ['what has waited for days', 'deliveries_target_idx', () => giveUpWaiting(database(), origin())],
    ['list of deliveries', 'deliveries_project_id_id_idx', () => listDeliveries(database(), project(), {}, 51)],
    [
      'those that failed',
      'deliveries_unsuccessful_idx',
      () => listDeliveries(database(), project(), { state: 'failed' }, 51),
    ],
    [
      'those of an endpoint',
      /deliveries_(endpoint|project_id_id)_idx/,
      () => listDeliveries(database(), project(), { endpointId }, 51),
    ],
    [
      'those of a generation',
      'events_generation_id_sequence_key',
      () => listDeliveries(database(), project(), { generationId: anyId }, 51),
    ],
    [
      'why what is due does not go',
      'deliveries_target_idx',
      () => busyOrigins(database(), [`${project()} https://h0.example`, `${project()} https://h1.example`]),
    ],
    [
      'delivering anew',
      /deliveries_(unsuccessful|endpoint)_idx/,
      () => redeliverFailed(database(), { id: endpointId, projectId: project() }, new Date(0)),
    ],
    [
      'an endpoint that is disabled',
      'deliveries_endpoint_pending_idx',
      async () => {
        await seed.sql('UPDATE webhook_endpoints SET disabled_at = NULL, disabled_reason = NULL')
        await disableEndpoint(database(), { id: endpointId, url: 'https://e.com' }, 'gone')
      },
    ],
    ['a cancel of a batch', 'generations_batch_status_idx', () => markCancelled(database(), batchId, true)],
    ['a page of it', 'generations_batch_status_idx', () => changePage(database(), batchId, { after: '', rows: 5 }, 1)],
    [
      'its end',
      'generations_batch_status_idx',
      () => changePage(database(), batchId, { after: 'gen_zzz', rows: 5 }, 1),
    ],
    [
      'a page of another priority',
      'generations_batch_status_idx',
      async () => {
        await seed.sql('UPDATE batches SET cancel_requested_at = NULL, wanted_priority = 9 WHERE id = $1', [batchId])
        await changePage(database(), batchId, { after: '', rows: 5 }, 1)
      },
    ],
    ['projects to fan out for', 'pending_fan_outs_pkey', () => nextToFanOut(database(), '')],
    ['a page of a fan-out', 'pending_fan_outs_pkey', () => fanOutPage(database(), seed.projectId, 5)],
    ['changes that nobody carries out', 'batches_changing_idx', () => claimChange(database(), { not: [] })],
    ['operators: newest of all projects', 'generations_pkey', () => listAllGenerations(database(), {}, 50, anyId)],
    [
      'operators: by code',
      'generations_error_code_idx',
      () => listAllGenerations(database(), { errorCode: 'rare' }, 50),
    ],
    [
      'operators: by status',
      'generations_ended_idx',
      () => listAllGenerations(database(), { statuses: ['failed'] }, 50),
    ],
    ['operators: queued', 'generations_queued_idx', () => listAllGenerations(database(), { statuses: ['queued'] }, 50)],
    [
      'operators: by custom id',
      'generations_custom_id_idx',
      () => listAllGenerations(database(), { customId: 'none' }, 50),
    ],
    ['operators: find a name', 'submissions_upstream', () => findAnything(database(), 'none', ['globalai'], undefined)],
    ['the last of a batch', /generations_(batch|backlog)/, () => findLastPosition(database(), CONFIGURED, batchId, 15)],
    ['metrics', 'generations_slots_idx', () => countOpenWork(database())],
    ['admission', 'generations_backlog_idx', () => admitGenerations(database(), CONFIGURED, 1_000)],
    ['slots', 'generations_slots_idx', () => admitGenerations(database(), CONFIGURED, 1_000)],
    [
      'beginning',
      'submissions_generation_id_id_idx',
      () => beginSubmission(database(), beginRequestFor(anyId), 'u', 9),
    ],
    ['overdue work', 'generations_poll_due_idx', () => overdueWork(database(), 60_000)],
  ]

  it.each(cases)('%s', async (_name, index, act) => {
    const nodes = await plansOf(act, planner)
    expect(nodes.flatMap((node) => node['Index Name'] ?? []).join(' ')).toMatch(index)
    expect(readWhole(nodes)).toEqual([])
    if (planner !== 'free') expect(nodes.map((node) => node['Node Type'])).not.toContain('Bitmap Heap Scan')
  })
})

it('why what is due does not go is looked for among a bounded number of deliveries to each server', async () => {
  const nodes = await plansOf(() => busyOrigins(seed.database, [`${seed.projectId} https://h0.example`]), "the store's")
  const types = nodes.map((node) => node['Node Type'])
  expect(types).toContain('Limit')
  expect(types).not.toContain('Sort')
  const [ofServer] = nodes.filter((node) => node['Index Name'] === 'deliveries_target_idx')
  expect(ofServer?.['Index Cond']).toContain('target = ')
})

it('a purge reads the rows that it deletes, and not all events or all pending deliveries', async () => {
  await seed.sql(
    `UPDATE generations SET finished_at = now() - interval '91 days', batch_id = NULL WHERE id = ANY (ARRAY(
      SELECT id FROM generations WHERE status = 'completed' ORDER BY id LIMIT 100))`,
  )
  const nodes = await plansOf(async () => {
    expect(await purgeEnded(seed.database, 90, 500, Date.now() + 91 * DAY_MS)).toMatchObject({ generations: 100 })
  }, "the store's")
  expect(readWhole(nodes)).toEqual([])
  // This index covers all pending deliveries.
  expect(nodes.map((node) => node['Index Name'])).not.toContain('deliveries_due_idx')
})

describe.each(PLANNERS)('after a burst, of which the statistics do not know yet, %s plans', (planner) => {
  it.each<[string, string, () => Promise<unknown>]>([
    ['claim of a delivery', 'deliveries_pkey', () => claimDelivery(seed.database, 'dlv_none', 1_000)],
    [
      'next delivery of a server',
      'deliveries_target_idx',
      () => claimNextDelivery(seed.database, `${seed.projectId} https://h0.example`, 1_000),
    ],
    ['what is unwanted', 'deliveries_endpoint_pending_idx', () => cancelUnwanted(seed.database, endpointId)],
  ])('%s', async (_name, index, act) => {
    await seed.sql(
      `UPDATE deliveries SET state = 'succeeded', next_attempt_at = NULL, due_at = NULL WHERE state = 'pending'`,
    )
    await seed.sql('ANALYZE deliveries')
    const nodes = await plansOf(act, planner)
    const updates = nodes.filter((node) => node['Relation Name'] === 'deliveries')
    expect(updates.flatMap((node) => node['Index Name'] ?? []).join(' ')).toMatch(index)
    expect(nodes.flatMap((node) => node['Index Name'] ?? [])).not.toContain('deliveries_due_idx')
    expect(nodes.filter((node) => node['Node Type'] === 'Seq Scan' && node['Relation Name'] === 'deliveries')).toEqual(
      [],
    )
  })
})

it.each(PLANNERS)(
  'pages of a batch that the statistics do not know yet read no ended generations, %s plans',
  async (planner) => {
    const id = newId('batch')
    await seed.sql('INSERT INTO batches (id, project_id, total) VALUES ($1, $2, 5000)', [id, seed.projectId])
    await seed.sql(
      `INSERT INTO generations (id, project_id, batch_id, custom_id, model, prompt, status, finished_at)
     SELECT new_id('gen'), $2, $1, $1 || n, 'm', 'a fox', kind.status, CASE WHEN kind.status = 'cancelled' THEN now() END
     FROM generate_series(1, 5000) n,
       LATERAL (SELECT (CASE WHEN n % 9 = 0 THEN 'queued' ELSE 'cancelled' END)::generation_status AS status) kind`,
      [id, seed.projectId],
    )
    for (const mark of ['wanted_priority = 9', 'cancel_requested_at = now(), cancel_rendering = true']) {
      await seed.sql(`UPDATE batches SET ${mark} WHERE id = $1`, [id])
      const nodes = await plansOf(() => changePage(seed.database, id, { after: '', rows: 5 }, 1), planner)
      expect(nodes.map((node) => node['Index Name'])).not.toContain('generations_project_batch_idx')
    }
  },
)
