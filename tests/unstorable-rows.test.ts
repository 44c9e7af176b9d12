// A hundred rows, of which Postgres refuses one by a real trigger: whatever statement carries the rows, the other 99
// move, the refused row is noted and skipped for a while, at the cost of few statements.

import { newId } from '@reelqueue/contract/terms/ids'
import type { TerminalAnswer } from '@reelqueue/shared/domain/terminal-answer'
import { CONFIGURED } from '@reelqueue/shared/providers/registry'
import { createLogger } from '@reelqueue/shared/runtime/log'
import { admitGenerations, releaseAdmitted } from '@reelqueue/shared/store/admission/admission'
import { noteAcceptance } from '@reelqueue/shared/store/admission/gate-answers'
import { type Database, type RefusedRow, UncertainCommit } from '@reelqueue/shared/store/database'
import { finishBatches, insertBatch } from '@reelqueue/shared/store/intake/batches'
import { insertGenerations, type NewGeneration } from '@reelqueue/shared/store/intake/generations'
import { claimChange } from '@reelqueue/shared/store/lifecycle/batch-changes'
import { completeSeen } from '@reelqueue/shared/store/lifecycle/completion'
import {
  claimOverdueDeliveries,
  claimOverdueGenerations,
  endedBatches,
  requeueNow,
} from '@reelqueue/shared/store/lifecycle/overdue'
import { claimDuePolls, failOverdue, recordPolls, releasePolls } from '@reelqueue/shared/store/lifecycle/polling'
import { addApiKey, newApiKey } from '@reelqueue/shared/store/projects'
import { countUnstorable, findUnstorable } from '@reelqueue/shared/store/unstorable'
import { notingUnstorable, withoutUnstorable } from '@reelqueue/shared/store/unstorable-search'
import { createMicroBatches, type MicroBatches } from '@reelqueue/worker/micro-batches'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { clientOf, MINIMAL } from './support/api.ts'
import { VIDEO } from './support/attempts.ts'
import { purgeEnded } from './support/history.ts'
import { LEASE_MS, newGeneration, pollOf, SETTLING, seedDatabase, taskIdOf } from './support/seed.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const ROWS = 100
/** Limit of statements after a failure: repeated halving, the notes, and the statements of a transaction. */
const STATEMENTS_MAX = 60

const seed = await seedDatabase()
const refused: RefusedRow[] = []
let statements = 0
const database: Database = { ...seed.database, prisma: counted(), onUnstorable: (row) => refused.push(row) }
const log = createLogger('silent')
const batches = createMicroBatches({ database, log })
afterAll(() => seed.close())

function counted(): Database['prisma'] {
  const get = (target: Database['prisma'], name: string | symbol) => {
    if (name === '$queryRaw' || name === '$executeRaw' || name === '$transaction') statements += 1
    return Reflect.get(target, name, target)
  }
  return new Proxy(seed.database.prisma, { get })
}

beforeEach(async () => {
  refused.length = 0
  await seed.sql('DROP TRIGGER IF EXISTS refuses ON generations')
  await seed.sql(
    `TRUNCATE unstorable_rows, delivery_attempts, deliveries, events, submissions, generations, batches, admissions, upstream_gates
     CASCADE`,
  )
})

await seed.sql(
  `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'this row is refused'; END $$`,
)

/** Makes Postgres refuse the row from now on. */
async function refuse(table: string, id: string, event = 'UPDATE'): Promise<void> {
  const row = event === 'INSERT' ? 'NEW' : 'OLD'
  await seed.sql(
    `CREATE TRIGGER refuses BEFORE ${event} ON ${table} FOR EACH ROW WHEN (${row}.id = '${id}') EXECUTE FUNCTION refuse()`,
  )
}
const allow = (table: string) => seed.sql(`DROP TRIGGER refuses ON ${table}`)

async function generations(set: string, fields: Partial<NewGeneration> = {}): Promise<string[]> {
  const rows = Array.from({ length: ROWS }, () => newGeneration(seed.projectId, fields))
  await insertGenerations(seed.database.prisma, rows)
  const ids = rows.map((row) => row.id)
  await seed.sql(`UPDATE generations SET ${set} WHERE id = ANY ($1)`, [ids])
  return ids
}
const RENDERING = `status = 'processing', admitted_at = now(), submitted_at = now(), current_submission_id = 'sub_' || id,
  upstream_task_id = 'sora_' || id, may_be_charged = true`
const rendering = (due = `now() - interval '1 s'`) => generations(`${RENDERING}, due_at = ${due}`)
const ended = () => generations(`status = 'cancelled', finished_at = now() - interval '1 year'`)
const countOf = async (from: string) => (await seed.sql(`SELECT 1 FROM ${from}`)).length

async function deliveries(): Promise<string[]> {
  const ids = await ended()
  await seed.sql(
    `INSERT INTO deliveries (id, project_id, event_id, url, next_attempt_at, due_at)
     SELECT new_id('dlv'), project_id, id, 'http://dead.example/' || row_number() OVER (), now() - interval '1 s', now() - interval '1 s'
     FROM events WHERE generation_id = ANY ($1)`,
    [ids],
  )
  // A different server for each delivery: only a few deliveries are enqueued for each server.
  await seed.sql(`UPDATE deliveries SET url = 'http://s' || right(id, 12) || '.example/'`)
  return (await seed.sql<{ id: string }>('SELECT id FROM deliveries ORDER BY id')).map((row) => row.id)
}

async function openBatches(): Promise<string[]> {
  const ids = Array.from({ length: ROWS }, () => newId('batch'))
  for (const id of ids) {
    const batch = {
      id,
      projectId: seed.projectId,
      parentId: null,
      webhookUrl: null,
      metadata: null,
      idempotencyKey: null,
    }
    await insertBatch(seed.database, { ...batch, idempotencyHash: null }, [
      [newGeneration(seed.projectId, { batchId: id })],
    ])
  }
  await seed.sql(`UPDATE generations SET status = 'cancelled', finished_at = now()`)
  return ids
}

const poll = (id: string, answer: TerminalAnswer | null) => ({
  ...pollOf(id),
  nextMs: 600_000,
  sawPending: answer === null,
  pollFailures: 0,
  answer,
})
const settled = (promises: readonly Promise<unknown>[]) => Promise.allSettled(promises)
const submitting = async () => {
  const ids = await generations(
    `status = 'submitting', admitted_at = now(), current_submission_id = 'sub_' || substr(id, 5)`,
  )
  await seed.sql(
    `INSERT INTO submissions (id, generation_id, upstream, started_at, lease_until)
     SELECT current_submission_id, id, 'globalai', now(), now() + interval '1 minute' FROM generations`,
  )
  return ids
}

interface Case {
  readonly table: 'generations' | 'deliveries' | 'batches'
  readonly prepare: () => Promise<string[]>
  readonly act: (ids: readonly string[]) => Promise<unknown>
  /** Selects the moved rows. */
  readonly moved: string
  readonly event?: 'DELETE'
  /** Rows are tried in turn, without a shared statement. */
  readonly isSingly?: true
  /** A statement that is repeated automatically notes nothing. */
  readonly isUnnoted?: true
}

const claim = () => claimDuePolls(database, 1_000, 60_000)
const record = (ids: readonly string[]) =>
  recordPolls(
    database,
    ids.map((id) => poll(id, null)),
  )
const finished = (deliveryId: string): Parameters<MicroBatches['record']>[0] => ({
  attempt: {
    deliveryId,
    attempt: 0,
    httpStatus: 200,
    errorClass: null,
    message: '',
    replySnippet: null,
    durationMs: 1,
  },
  decision: { state: 'succeeded' },
})

const CASES: Record<string, Case> = {
  'claims of lanes': {
    table: 'generations',
    prepare: rendering,
    act: claim,
    moved: `generations WHERE due_at > now()`,
  },
  'claims handed back': {
    table: 'generations',
    prepare: () => rendering(`now() + interval '1 minute'`),
    act: (ids) => releasePolls(database, ids),
    moved: `generations WHERE due_at <= now()`,
  },
  'answers of polls': {
    table: 'generations',
    prepare: rendering,
    act: record,
    moved: `generations WHERE last_pending_at IS NOT NULL`,
  },
  'completions that lanes hear of': {
    table: 'generations',
    prepare: rendering,
    act: (ids) =>
      completeSeen(
        database,
        ids.map((id) => ({ ...pollOf(id), answer: VIDEO })),
      ),
    moved: `generations WHERE status = 'completed'`,
  },
  'ends at the deadline': {
    table: 'generations',
    prepare: rendering,
    act: (ids) => failOverdue(database, ids.map(pollOf), 'deadline_exceeded', 1_000),
    moved: `generations WHERE status = 'failed'`,
  },
  'completions by the complete step': {
    table: 'generations',
    prepare: () => generations(`${RENDERING}, due_at = now(), answer = '${JSON.stringify(VIDEO)}'`),
    act: (ids) => settled(ids.map((id) => batches.complete(id))),
    moved: `generations WHERE status = 'completed'`,
    isSingly: true,
  },
  'wake-ups of generations': {
    table: 'generations',
    prepare: () => generations(`admitted_at = now(), due_at = now() - interval '1 s'`),
    act: () => claimOverdueGenerations(database, 500, ['submit', 'complete']),
    moved: `generations WHERE wakes = 1`,
  },
  'graces that end': {
    table: 'generations',
    prepare: () => generations(`admitted_at = now(), due_at = now() + interval '1 minute'`),
    act: () => requeueNow(database, 500),
    moved: `generations WHERE due_at <= now()`,
  },
  admissions: {
    table: 'generations',
    prepare: () => generations('priority = 0'),
    act: () => admitGenerations(database, CONFIGURED, ROWS),
    moved: `generations WHERE admitted_at IS NOT NULL`,
  },
  'slots that are given back': {
    table: 'generations',
    prepare: () => generations('admitted_at = now(), due_at = now()'),
    act: () => releaseAdmitted(database, CONFIGURED),
    moved: `generations WHERE admitted_at IS NULL`,
  },
  'slots kept for what an outage left': {
    table: 'generations',
    prepare: async () => {
      await seed.sql(`INSERT INTO upstream_gates (upstream, silences) VALUES ('globalai', 100)`)
      return await generations(
        `status = 'failed', finished_at = now(), error_code = 'submission_unknown', slot_until = now() + interval '1 hour'`,
      )
    },
    act: async () => {
      await seed.sql(`UPDATE upstream_gates SET silences = 100`)
      await noteAcceptance(database, CONFIGURED)
    },
    moved: `generations WHERE slot_until IS NULL`,
  },
  'intents to submit': {
    table: 'generations',
    prepare: () => generations(`admitted_at = now(), due_at = now()`),
    act: (ids) =>
      settled(
        ids.map((generationId) =>
          batches.begin({ generationId, submissionId: newId('submission'), upstream: 'globalai', leaseMs: LEASE_MS }),
        ),
      ),
    moved: `generations WHERE status = 'submitting'`,
    isSingly: true,
  },
  acceptances: {
    table: 'generations',
    prepare: submitting,
    act: (ids) =>
      settled(
        ids.map((id) => batches.accept({ submissionId: `sub_${id.slice(4)}`, taskId: taskIdOf(id), ...SETTLING })),
      ),
    moved: `generations WHERE status = 'processing'`,
    isSingly: true,
    isUnnoted: true,
  },
  'wake-ups of deliveries': {
    table: 'deliveries',
    prepare: deliveries,
    act: () => claimOverdueDeliveries(database, 500),
    moved: `deliveries WHERE wakes = 1`,
  },
  'claims of deliveries': {
    table: 'deliveries',
    prepare: deliveries,
    act: (ids) => settled(ids.map((id) => batches.claim({ id }))),
    moved: `deliveries WHERE attempts = 1`,
    isSingly: true,
  },
  'attempts of webhooks': {
    table: 'deliveries',
    prepare: deliveries,
    act: (ids) => settled(ids.map((id) => batches.record(finished(id)))),
    moved: `deliveries WHERE state = 'succeeded'`,
    isSingly: true,
  },
  'ends of batches': {
    table: 'batches',
    prepare: openBatches,
    act: async () => finishBatches(database, await endedBatches(database, 500)),
    moved: `batches WHERE completed_at IS NOT NULL`,
  },
  'changes of batches': {
    table: 'batches',
    prepare: async () => {
      const ids = await openBatches()
      await seed.sql(`UPDATE batches SET cancel_requested_at = now()`)
      return ids
    },
    // Each row with a separate claim.
    act: async () => {
      for (let n = 0; n <= ROWS; n++) await claimChange(database, { not: [] })
    },
    moved: `batches WHERE change_until IS NOT NULL`,
    isSingly: true,
  },
  retention: {
    table: 'generations',
    prepare: ended,
    event: 'DELETE',
    act: () => purgeEnded(database, 30, 500, Date.now() + 400 * 24 * 3_600_000),
    moved: `(SELECT generate_series(1, ${ROWS} - (SELECT count(*)::int FROM generations))) AS gone`,
  },
}

describe.each(Object.entries(CASES))('of a hundred %s', (_, one) => {
  it('99 go on beside one that is refused, which is noted, left out for a while, and carried out once it can be', async () => {
    const ids = await one.prepare()
    const bad = ids[61] ?? ''
    await refuse(one.table, bad, one.event)
    try {
      statements = 0
      await one.act(ids)
      expect(statements).toBeLessThanOrEqual(one.isSingly ? 3 * ROWS : STATEMENTS_MAX)
      // A failed statement reports before releasing its locks, and claims skip locked rows: the next claim finds the
      // rows.
      await until('the others have moved', async () => {
        if ((await countOf(one.moved)) >= ROWS - 1) return true
        await one.act(ids)
        return false
      })
      expect(await countOf(one.moved)).toBe(ROWS - 1)
      if (one.isUnnoted) return
      expect(refused).toMatchObject([{ id: bad, failures: 1 }])
      expect(await findUnstorable(database, bad)).toMatchObject({ failures: 1, sqlState: 'P0001' })
      expect(await countUnstorable(database)).toMatchObject({ count: 1 })
    } finally {
      await allow(one.table)
    }
    await seed.sql(`UPDATE unstorable_rows SET retry_at = now()`)
    await until('all have moved', async () => {
      await one.act(ids)
      return (await countOf(one.moved)) === ROWS
    })
  })
})

describe('deliveries that are claimed for one server', () => {
  it('go on beside one that is refused, also when it is the first', async () => {
    const [bad = ''] = await deliveries()
    await seed.sql(`UPDATE deliveries SET url = 'http://one.example/' || id`)
    await seed.sql(`UPDATE deliveries SET next_attempt_at = now() - interval '1 hour' WHERE id = $1`, [bad])
    await refuse('deliveries', bad)
    const origin = `${seed.projectId} http://one.example`
    await until('the others are claimed', async () => {
      await settled(Array.from({ length: ROWS }, () => batches.claim({ origin })))
      return (await countOf(`deliveries WHERE attempts = 1`)) === ROWS - 1
    })
    expect(refused).toMatchObject([{ id: bad, failures: 1 }])
    await allow('deliveries')
  })
})

describe('what is no refusal', () => {
  const lost = () => Promise.reject(new UncertainCommit('lost', { cause: new Error('read ECONNRESET') }))

  it('is noted of no row: a lost COMMIT, or an error that is not one of Postgres’', async () => {
    const rows = [{ id: 'gen_a' }, { id: 'gen_b' }]
    for (const run of [lost, () => Promise.reject(new TypeError('a bug'))]) {
      await expect(notingUnstorable(database, 'submit', 'gen_a', run)).rejects.toThrow()
      await expect(withoutUnstorable(database, 'end', rows, run)).rejects.toThrow()
    }
    expect(refused).toEqual([])
    expect(await countUnstorable(database)).toMatchObject({ count: 0 })
  })

  it('is looked for by two statements at a time where all rows are locked', async () => {
    const ids = (await rendering()).slice(0, 16)
    let running = 0
    let most = 0
    const tried: number[] = []
    const change = async (rows: readonly { id: string }[]): Promise<unknown[]> => {
      most = Math.max(most, ++running)
      tried.push(rows.length)
      try {
        return await seed.database.prisma.$transaction(async (tx) => {
          await tx.$executeRaw`SET LOCAL lock_timeout = '20ms'`
          return await tx.$queryRaw<unknown[]>`
            SELECT 1 FROM generations WHERE id = ANY (${rows.map((row) => row.id)}::text[]) FOR UPDATE`
        })
      } finally {
        running -= 1
      }
    }
    await seed.holding('SELECT 1 FROM generations FOR UPDATE', async () => {
      const rows = ids.map((id) => ({ id }))
      expect(await withoutUnstorable(database, 'record', rows, change)).toEqual([])
    })
    expect(tried.filter((count) => count === 1)).toHaveLength(16)
    expect(most).toBe(2)
    expect(refused).toEqual([])
  })
})

describe('requests that come together', () => {
  it('are accepted but for the one that Postgres refuses', async () => {
    const app = await startTestApp({ databaseUrl: seed.url, api: true })
    const key = newApiKey()
    await addApiKey(seed.database, seed.projectId, 'tests', key)
    const client = clientOf(app.url, key)
    await seed.sql(
      `CREATE TRIGGER refuses BEFORE INSERT ON generations FOR EACH ROW WHEN (NEW.prompt = 'refused') EXECUTE FUNCTION refuse()`,
    )
    const prompts = Array.from({ length: ROWS }, (_, n) => (n === 61 ? 'refused' : 'a fox'))
    const replies = await Promise.all(prompts.map((prompt) => client.post('/v1/generations', { ...MINIMAL, prompt })))
    expect(replies.filter((reply) => reply.status === 202)).toHaveLength(ROWS - 1)
    expect(replies[61]?.status).toBe(500)
    await app.close()
  })
})

describe('a row that is refused again and again', () => {
  it('is tried later each time, after ten minutes at most, and delays no other row', async () => {
    const [bad = ''] = await rendering()
    await refuse('generations', bad)
    const waits: number[] = []
    for (let n = 0; n < 6; n++) {
      await seed.sql(`UPDATE unstorable_rows SET retry_at = now()`)
      // A claim skips rows still locked by the previous failed statement.
      const waitMs = await until('it is noted again', async () => {
        await claim()
        const { retryAt } = (await findUnstorable(database, bad)) ?? { retryAt: new Date(0) }
        return Math.max(0, Number(retryAt) - Date.now())
      })
      waits.push(Math.round(waitMs / 10_000) * 10)
    }
    expect(waits).toEqual([30, 60, 120, 240, 480, 600])
    statements = 0
    expect(await claim()).toEqual([])
    expect(statements).toBe(1)
    await allow('generations')
  })

  it('by what was answered: a text that Postgres cannot store costs the others nothing', async () => {
    const ids = await rendering()
    const bad = ids[5] ?? ''
    const seen = ids.map((id) => ({
      ...pollOf(id),
      answer: id === bad ? { ...VIDEO, videoUrl: 'https://v/\u0000' } : VIDEO,
    }))
    await completeSeen(database, seen)
    expect(await countOf(`generations WHERE status = 'completed'`)).toBe(ROWS - 1)
    expect(refused.map((row) => row.id)).toEqual([bad])
  })
})
