// `npm run bench -- --plans N`: the plans of the hot statements on a history of N generations, measured by EXPLAIN ANALYZE. The statements
// are recorded on their way from the store to Postgres.

import { newId } from '@reelqueue/contract/terms/ids'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { findQueuePosition } from '@reelqueue/shared/store/admission/queue-position'
import { openDatabase, PLANNING } from '@reelqueue/shared/store/database'
import { listResults } from '@reelqueue/shared/store/intake/batch-actions'
import { countByStatus, finishBatches, listBatches } from '@reelqueue/shared/store/intake/batches'
import { countWaiting, listGenerations } from '@reelqueue/shared/store/intake/generation-reads'
import { insertGenerations } from '@reelqueue/shared/store/intake/generations'
import { changePage } from '@reelqueue/shared/store/lifecycle/batch-change-pages'
import { markCancelled } from '@reelqueue/shared/store/lifecycle/batch-changes'
import {
  claimOverdueDeliveries,
  claimOverdueGenerations,
  endedBatches,
} from '@reelqueue/shared/store/lifecycle/overdue'
import { claimDuePolls, isPollDueWithin } from '@reelqueue/shared/store/lifecycle/polling'
import { overdueWork } from '@reelqueue/shared/store/operator/health'
import pg from 'pg'
import { purgeEnded } from '../tests/support/history.ts'
import { makeHistory } from './history.ts'
import type { Servers } from './servers.ts'

/** @returns a page in Markdown */
export async function measurePlans({ databaseUrl }: Servers, generations: number): Promise<string> {
  const { projectId, batchId } = await makeHistory(databaseUrl, generations)
  const database = openDatabase(databaseUrl, console.error)
  const overheard: Statement[] = []
  const original = pg.Client.prototype.query
  pg.Client.prototype.query = function (this: pg.Client, ...words: unknown[]) {
    overheard.push(statementOf(words))
    return Reflect.apply(original, this, words)
  } as typeof original
  const explainer = new pg.Client({ connectionString: databaseUrl })
  try {
    await explainer.connect()
    await explainer.query(PLANNING)
    const last = (await listGenerations(database, projectId, {}, 2)).at(-1)
    if (!last) throw new Error('the history is empty')
    const waiting = { id: newId('generation'), projectId, priority: 0 }
    const row = {
      ...last,
      id: newId('generation'),
      retryOf: null,
      batchId: null,
      idempotencyKey: 'k',
      idempotencyHash: 'h',
    }
    const acts: Readonly<Record<string, () => Promise<unknown>>> = {
      'accept one': () => insertGenerations(database.prisma, [row as never]),
      'list a project': () => listGenerations(database, projectId, {}, 51),
      'list a project, a page in the middle': () => listGenerations(database, projectId, {}, 51, last.id),
      'list by status': () => listGenerations(database, projectId, { status: 'queued' }, 51),
      'list a batch': () => listGenerations(database, projectId, { batchId }, 51),
      'list batches': () => listBatches(database, projectId, 51),
      'count a batch by status': () => countByStatus(database, [batchId]),
      'results of a batch, a page': () => listResults(database, { id: batchId, projectId }, 1_000, ''),
      'place in the queue': () => findQueuePosition(database, CONFIGURED, waiting, 15),
      'backlog of a project': () => countWaiting(database, projectId, 500_000),
      'admit 100': () => admitGenerations(database, CONFIGURED, 600),
      'claim due polls': () => claimDuePolls(database, 100, 60_000),
      'look at polls to come': () => isPollDueWithin(database, 60_000),
      'claim overdue generations': () => claimOverdueGenerations(database, 500, ['submit', 'complete']),
      'claim overdue deliveries': () => claimOverdueDeliveries(database, 500),
      'overdue work (readiness)': () => overdueWork(database, 60_000),
      'find ended batches': () => endedBatches(database, 500),
      'finish a batch': () => finishBatches(database, [batchId]),
      'forget what is old: nothing': () => purgeEnded(database, 90, 500, Date.now()),
      'cancel a batch: the mark': () => markCancelled(database, batchId, false),
      'cancel a batch: a page': () => changePage(database, batchId, { after: '', rows: 5 }, 0),
    }
    const lines: string[] = []
    for (const [name, act] of Object.entries(acts)) {
      overheard.length = 0
      await database.prisma.$transaction(async () => undefined)
      await act()
      const measured: Measured[] = []
      for (const { text, values } of [...overheard]) {
        if (/\b(generations|deliveries|batches|events)\b/.test(text))
          measured.push(await explain(explainer, text, values))
      }
      lines.push(lineOf(name, measured))
    }
    return [
      `| what | indexes | whole tables read | pages touched | ms |`,
      `| --- | --- | --- | --: | --: |`,
      ...lines,
    ].join('\n')
  } finally {
    pg.Client.prototype.query = original
    await explainer.end()
    await database.close()
  }
}

interface Statement {
  readonly text: string
  readonly values: unknown[]
}

function statementOf([config, values]: readonly unknown[]): Statement {
  if (typeof config === 'string') return { text: config, values: Array.isArray(values) ? values : [] }
  const given = config as { text?: string; values?: unknown[] }
  return { text: given.text ?? '', values: given.values ?? (Array.isArray(values) ? values : []) }
}

interface Node {
  readonly 'Node Type': string
  readonly 'Relation Name'?: string
  readonly 'Index Name'?: string
  readonly 'Shared Hit Blocks': number
  readonly 'Shared Read Blocks': number
  readonly Plans?: readonly Node[]
}

interface Measured {
  readonly indexes: readonly string[]
  readonly tables: readonly string[]
  readonly pages: number
  readonly ms: number
}

/** Runs the statement and rolls back. */
async function explain(client: pg.Client, text: string, values: unknown[]): Promise<Measured> {
  await client.query('BEGIN')
  try {
    const { rows } = await client.query(`EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ${text}`, values)
    const [found] = rows as { 'QUERY PLAN': [{ Plan: Node; 'Execution Time': number }] }[]
    if (!found) throw new Error('no plan')
    const [{ Plan: plan, 'Execution Time': ms }] = found['QUERY PLAN']
    const nodes = nodesOf(plan)
    return {
      indexes: nodes.flatMap((node) => node['Index Name'] ?? []),
      tables: nodes.filter((node) => node['Node Type'] === 'Seq Scan').flatMap((node) => node['Relation Name'] ?? []),
      pages: plan['Shared Hit Blocks'] + plan['Shared Read Blocks'],
      ms,
    }
  } finally {
    await client.query('ROLLBACK')
  }
}

function nodesOf(node: Node): Node[] {
  return [node, ...(node.Plans ?? []).flatMap(nodesOf)]
}

/** Tables of a few rows, where Postgres rightly reads the whole table. */
const SMALL = ['projects', 'upstream_gates', 'webhook_endpoints']

function lineOf(name: string, measured: readonly Measured[]): string {
  const unique = (of: (one: Measured) => readonly string[]) => [...new Set(measured.flatMap(of))]
  const indexes = unique((one) => one.indexes).filter((index) => !/^(projects|upstream|webhook|admissions)/.test(index))
  const tables = unique((one) => one.tables).filter((table) => !SMALL.includes(table))
  const sum = (of: (one: Measured) => number) => measured.reduce((total, one) => total + of(one), 0)
  const cells = [
    name,
    indexes.map((index) => `\`${index}\``).join(', '),
    tables.join(', ') || 'none',
    sum((one) => one.pages).toLocaleString('en'),
    sum((one) => one.ms).toFixed(1),
  ]
  return `| ${cells.join(' | ')} |`
}
