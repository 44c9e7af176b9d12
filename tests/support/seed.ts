// Rows for tests of the store: a private database with one project, and forced collisions. Collisions do not depend on luck: contenders are
// seen waiting for the lock before the lock is released.

import { newId } from '@reelqueue/contract/terms/ids'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { admitGenerations } from '@reelqueue/shared/store/admission/admission'
import { type Database, openDatabase } from '@reelqueue/shared/store/database'
import { type Event, insertGenerations, type NewGeneration } from '@reelqueue/shared/store/intake/generations'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { type BeginResult, beginSubmission, type Intent } from '@reelqueue/shared/store/lifecycle/submissions'
import { ensureProject } from '@reelqueue/shared/store/projects'
import pg from 'pg'
import { createDatabase, PLAIN_SESSION } from './database.ts'
import { until } from './wait.ts'

/** Default arguments of the tests; in production the submit step computes them. */
export const LEASE_MS = 60_000
export const SETTLING = { firstPollMs: 30_000, renderMaxMs: 1_800_000 }
const UPSTREAM = 'globalai'

export interface Seed {
  readonly url: string
  readonly database: Database
  readonly projectId: string
  /** Runs one statement on a connection of a separate pool. */
  sql<Row extends pg.QueryResultRow>(text: string, values?: unknown[]): Promise<Row[]>
  /** A queued generation, not admitted. */
  queued(fields?: Partial<NewGeneration>): Promise<string>
  /** An admitted generation. */
  admitted(fields?: Partial<NewGeneration>): Promise<string>
  /** A generation whose submission has begun. */
  submitting(fields?: Partial<NewGeneration>): Promise<Submitting>
  /** A generation accepted by the upstream. */
  processing(fields?: Partial<NewGeneration>): Promise<string>
  row(id: string): ReturnType<typeof rowOf>
  events(id: string): Promise<Event[]>
  /** Runs the callback inside a transaction on a separate connection, after `statement`; then commits. */
  holding<T>(statement: string, meanwhile: (sql: Seed['sql']) => Promise<T>): Promise<T>
  /** Runs the actions in this order against rows that stay locked until every action is seen waiting. */
  collide<T>(lock: string, actions: readonly (() => Promise<T>)[]): Promise<T[]>
  close(): Promise<void>
}

/** A rendering generation as claimed by its poller. */
export const pollOf = (id: string) => ({ id, upstreamTaskId: taskIdOf(id), dispatchCount: 0 })

export interface Submitting {
  readonly id: string
  readonly submissionId: string
}

export async function seedDatabase(): Promise<Seed> {
  const { url, drop } = await createDatabase()
  const noError = (error: Error) => {
    throw error
  }
  const database = openDatabase(url, noError)
  const pool = new pg.Pool({ connectionString: url, max: 4, onConnect: (client) => client.query(PLAIN_SESSION) })
  const { id: projectId } = await ensureProject(database, 'default', () => 'sealed')
  const sql: Seed['sql'] = async (text, values = []) => (await pool.query(text, values)).rows

  const queued: Seed['queued'] = async (fields = {}) => {
    const row = newGeneration(projectId, fields)
    await insertGenerations(database.prisma, [row])
    return row.id
  }
  const admitted: Seed['admitted'] = async (fields) => {
    const id = await queued(fields)
    await admitGenerations(database, CONFIGURED, 100_000)
    return id
  }
  const submitting: Seed['submitting'] = async (fields) => {
    const id = await admitted(fields)
    return {
      id,
      submissionId: intentOf(await beginSubmission(database, beginRequestFor(id), UPSTREAM, LEASE_MS)).submissionId,
    }
  }
  return {
    url,
    database,
    projectId,
    sql,
    queued,
    admitted,
    submitting,
    async processing(fields) {
      const { id, submissionId } = await submitting(fields)
      await recordOutcome(database, submissionId, { kind: 'accepted', taskId: taskIdOf(id) }, SETTLING)
      return id
    },
    row: (id) => rowOf(database, id),
    events: (id) => database.prisma.event.findMany({ where: { generationId: id }, orderBy: { sequence: 'asc' } }),
    async holding(statement, meanwhile) {
      const holder = await pool.connect()
      try {
        await holder.query('BEGIN')
        await holder.query(statement)
        const result = await meanwhile(async (text, values = []) => (await holder.query(text, values)).rows)
        await holder.query('COMMIT')
        return result
      } finally {
        holder.release()
      }
    },
    async collide(lock, actions) {
      const holder = await pool.connect()
      try {
        await holder.query('BEGIN')
        await holder.query(lock)
        const running: ReturnType<(typeof actions)[number]>[] = []
        for (const [index, action] of actions.entries()) {
          running.push(action())
          await until(`${index + 1} contenders wait for the lock`, async () => (await waiters(sql)) >= index + 1)
        }
        await holder.query('COMMIT')
        return await Promise.all(running)
      } finally {
        holder.release()
      }
    },
    async close() {
      await database.close()
      await pool.end()
      await drop()
    },
  }
}

/** A request to submit, with a new submission id. */
export const beginRequestFor = (generationId: string) => ({ generationId, submissionId: newId('submission') })

/** The accepted task id of a `processing` generation. */
export function taskIdOf(generationId: string): string {
  return `sora_${generationId}`
}

export function newGeneration(projectId: string, fields: Partial<NewGeneration> = {}): NewGeneration {
  return {
    id: newId('generation'),
    projectId,
    batchId: null,
    retryOf: null,
    customId: null,
    model: 'openAiSora2Plus',
    prompt: 'a fox',
    size: null,
    seconds: null,
    inputReference: null,
    priority: 0,
    metadata: null,
    webhookUrl: null,
    onUnknownSubmission: 'fail',
    idempotencyKey: null,
    idempotencyHash: null,
    ...fields,
  }
}

/** The intent of a submission that must have begun. */
export function intentOf(result: BeginResult): Intent {
  if (result.kind !== 'begun') throw new Error(`the submission did not begin: ${result.kind}`)
  return result.intent
}

async function rowOf({ prisma }: Database, id: string) {
  return await prisma.generation.findUniqueOrThrow({
    where: { id },
    include: { submissions: { orderBy: { id: 'asc' } } },
  })
}

async function waiters(sql: Seed['sql']): Promise<number> {
  const [row] = await sql<{ count: number }>(
    `SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`,
  )
  return row?.count ?? 0
}
