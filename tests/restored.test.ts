// A restored database: waiting generations may have been paid for since the backup, so none is submitted before an
// operator resumes. A stop of any length needs no operator.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buildSimulator } from '@reelqueue/simulator/app'
import { afterAll, beforeAll, beforeEach, expect, inject, it } from 'vitest'
import { examineLedger, type RunningLedger, startLedger } from '../bin/ledger.ts'
import { startWorkerIn } from '../bin/worker.ts'
import { clientOf, generationOf, MINIMAL, send } from './support/api.ts'
import { createDatabase, runSql, type TestDatabase, withDatabaseName } from './support/database.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const simulator = buildSimulator({ speed: 1_000 })
let upstreamUrl: string
let database: TestDatabase
let dataDir: string
const copies: string[] = []

beforeAll(async () => {
  upstreamUrl = await simulator.listen({ host: '127.0.0.1', port: 0 })
})
beforeEach(async () => {
  database = await createDatabase()
  dataDir = await mkdtemp(join(tmpdir(), 'reelqueue-restored-'))
  return async () => {
    await database.drop()
    await rm(dataDir, { recursive: true, force: true })
  }
})
afterAll(async () => {
  await simulator.close()
  for (const name of copies) await runSql(inject('postgresUrl'), `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)
})

const submissions = async () => (await simulator.inject('/control/submissions')).json<{ total: number }>().total

/** API and worker in one process, like `npm start`. */
async function start(databaseUrl: string, env: Record<string, string> = {}) {
  const app = await startTestApp({
    databaseUrl,
    api: true,
    env: {
      UPSTREAM_BASE_URL: upstreamUrl,
      UPSTREAM_API_KEY: 'any',
      POLL_INTERVAL_MIN_MS: '50',
      POLL_INTERVAL_MAX_MS: '100',
      RECONCILE_INTERVAL_MS: '200',
      DATA_DIR: dataDir,
      ...env,
    },
  })
  const ledger: RunningLedger = await startLedger(app.context)
  const worker = startWorkerIn(app.context)
  return {
    app,
    client: clientOf(app.url, app.key),
    async close() {
      await worker.close()
      await ledger.close()
      await app.close()
    },
  }
}

const gateOf = async (app: TestApp) =>
  JSON.parse((await send('GET', `${app.url}/admin/submitting`, undefined, app.login)).text) as {
    paused_at: string | null
    paused_reason: string | null
  }

/**
 * Three generations accepted but not submitted, then a backup, then all three are paid for. @returns the backup's name
 */
async function payAfterBackup(): Promise<string> {
  const first = await start(database.url)
  await send('POST', `${first.app.url}/admin/submitting/pause`, undefined, first.app.login)
  const ids = await Promise.all(
    [1, 2, 3].map(async () => generationOf(await first.client.post('/v1/generations', MINIMAL)).id),
  )
  await first.close()
  const name = `reelqueue_backup_${copies.length}_${process.pid}`
  copies.push(name)
  // Like a backup of a running server: neither paused nor stopped.
  await runSql(database.url, 'UPDATE upstream_gates SET paused_at = NULL; UPDATE ledgers SET stopped_at = NULL')
  await runSql(inject('postgresUrl'), `CREATE DATABASE ${name} TEMPLATE ${new URL(database.url).pathname.slice(1)}`)
  const second = await start(database.url)
  for (const id of ids)
    await until(
      'completed',
      async () => generationOf(await second.client.get(`/v1/generations/${id}`)).status === 'completed',
    )
  await second.close()
  return name
}

it('pays for nothing of a restored copy until an operator resumes, and says so everywhere', async () => {
  const before = await submissions()
  const url = withDatabaseName(database.url, await payAfterBackup())
  expect(await submissions()).toBe(before + 3)
  const restored = await start(url)
  try {
    expect(await gateOf(restored.app)).toMatchObject({ paused_reason: expect.stringMatching(/copy|later state/) })
    const ready = await send('GET', `${restored.app.url}/readyz`)
    expect(JSON.parse(ready.text).checks.upstream.detail).toContain('/admin/submitting/resume')
    const { data } = JSON.parse((await restored.client.get('/v1/generations')).text) as { data: { id: string }[] }
    const one = generationOf(await restored.client.get(`/v1/generations/${data[0]?.id}`))
    expect(one.queue).toMatchObject({ held: true })
    // A round of reconcile, which enqueues all due rows.
    await until('reconciled', async () =>
      (await restored.app.logLines()).some(({ event }) => event === 'worker.started'),
    )
    expect(await submissions()).toBe(before + 3)
    await send('POST', `${restored.app.url}/admin/submitting/resume`, undefined, restored.app.login)
    expect(await gateOf(restored.app)).toMatchObject({ paused_at: null, paused_reason: null })
    await until('paid for, as the operator wanted', async () => (await submissions()) === before + 6)
  } finally {
    await restored.close()
  }
  // From now on this is the live database: the next start does not pause.
  const next = await start(url)
  expect(await gateOf(next.app)).toMatchObject({ paused_at: null })
  await next.close()
})

it('notices an earlier state that was put back into the same tables', async () => {
  const first = await start(database.url)
  const { id } = generationOf(await first.client.post('/v1/generations', MINIMAL))
  await until(
    'completed',
    async () => generationOf(await first.client.get(`/v1/generations/${id}`)).status === 'completed',
  )
  await first.close()
  const paid = await submissions()
  await runSql(
    database.url,
    `DELETE FROM submissions; UPDATE generations SET status = 'queued', admitted_at = NULL, due_at = NULL, finished_at = NULL,
       current_submission_id = NULL, upstream = NULL, upstream_task_id = NULL, submitted_at = NULL, answer = NULL`,
  )
  const restored = await start(database.url)
  expect(await gateOf(restored.app)).toMatchObject({
    paused_reason: expect.stringContaining('remembers a later state'),
  })
  expect(await submissions()).toBe(paid)
  await restored.close()
})

it('a clean stop over night, and a crash over night beside its mark, need no operator', async () => {
  for (const change of ['', 'stopped_at = NULL,']) {
    const first = await start(database.url)
    await send('POST', `${first.app.url}/admin/submitting/pause`, undefined, first.app.login)
    const { id } = generationOf(await first.client.post('/v1/generations', MINIMAL))
    await first.close()
    await runSql(database.url, 'UPDATE upstream_gates SET paused_at = NULL')
    if (change) await runSql(database.url, 'UPDATE ledgers SET stopped_at = NULL')
    const next = await start(database.url)
    expect(await gateOf(next.app)).toMatchObject({ paused_at: null })
    await until(
      'completed',
      async () => generationOf(await next.client.get(`/v1/generations/${id}`)).status === 'completed',
    )
    await next.close()
  }
})

it('an old ledger with work waiting and nothing that agrees with it is held', async () => {
  const first = await start(database.url)
  await send('POST', `${first.app.url}/admin/submitting/pause`, undefined, first.app.login)
  await first.client.post('/v1/generations', MINIMAL)
  await first.close()
  await rm(dataDir, { recursive: true })
  await runSql(
    database.url,
    `UPDATE upstream_gates SET paused_at = NULL; UPDATE ledgers SET stopped_at = NULL, alive_at = now() - interval '2 days'`,
  )
  const before = await submissions()
  const next = await start(database.url)
  expect(await gateOf(next.app)).toMatchObject({ paused_reason: expect.stringContaining('last sign of a worker') })
  expect(await submissions()).toBe(before)
  await next.close()
})

it('START_PAUSED holds everything until an operator resumes, and the doctor judges without changing anything', async () => {
  const before = await submissions()
  const held = await start(database.url, { START_PAUSED: 'true' })
  const { id } = generationOf(await held.client.post('/v1/generations', MINIMAL))
  expect(await gateOf(held.app)).toMatchObject({ paused_reason: 'START_PAUSED is set' })
  expect(generationOf(await held.client.get(`/v1/generations/${id}`)).queue).toMatchObject({ held: true })
  expect((await examineLedger(held.app.context)).suspicion).toBeNull()
  expect(await submissions()).toBe(before)
  await send('POST', `${held.app.url}/admin/submitting/resume`, undefined, held.app.login)
  await until(
    'completed',
    async () => generationOf(await held.client.get(`/v1/generations/${id}`)).status === 'completed',
  )
  await held.close()
})
