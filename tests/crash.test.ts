// A process dies by SIGKILL at each await; another process continues. The evidence is the list of requests received by
// the provider. Processes are real throughout: leases are ended by SQL, the only manipulation of time.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { bundleEntries, type Entries } from './chaos/bundle.ts'
import type { CrashPoint } from './chaos/crash-points.ts'
import { startProcess } from './chaos/processes.ts'
import { clientOf, generationOf } from './support/api.ts'
import { runSql } from './support/database.ts'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'
import { closedPort } from './support/webhook-endpoint.ts'

/** A crash while paying: the point of the crash, and the number of requests received by the provider. */
const PAYING: readonly [CrashPoint, received: number][] = [
  ['submit.after-intent', 0],
  ['submit.during-post', 1],
  ['submit.after-answer', 1],
  ['submit.inside-settling', 1],
]

/** A crash outside the payment: nothing may be lost or paid again. */
const BESIDE: readonly CrashPoint[] = [
  'submit.before-intent',
  'submit.inside-intent',
  'submit.after-settling',
  'submit.before-done',
  'poll.claimed',
  'poll.answered',
  'poll.recorded',
  'complete.begun',
  'complete.moving',
  'complete.moved',
  'deliver.claimed',
  'deliver.sent',
]

/** Points where the dead worker leaves a special state in the queue. */
const BESIDE_ITS_QUEUE: readonly CrashPoint[] = ['submit.before-done', 'poll.claimed', 'complete.begun', 'deliver.sent']

// Starting a process takes seconds, on a busy machine many seconds. So points without a queue are tested on one
// backend.
describe.each(BACKENDS)('on %s', { timeout: 180_000 }, (backend) => {
  const onOne = <Row>(rows: readonly Row[]) => (backend === 'redis' ? rows : [])
  let pipeline: Pipeline
  let folder: string
  let entries: Entries
  let started = 0
  beforeAll(async () => {
    entries = await bundleEntries()
    folder = await mkdtemp(join(tmpdir(), 'reelqueue-crash-'))
    pipeline = await startPipeline({ backend, workers: 0, env: { RECONCILE_INTERVAL_MS: '300' } })
  })
  afterAll(async () => {
    await pipeline?.close()
    await entries?.remove()
    await rm(folder, { recursive: true, force: true })
  })

  const sql = <Row extends Record<string, unknown>>(text: string) =>
    runSql<Row>(pipeline.api.context.config.DATABASE_URL ?? '', text)

  function start(role: 'api' | 'worker', point: CrashPoint | null, more: Record<string, string> = {}) {
    return startProcess({
      role,
      entries,
      name: `${role}-${++started}`,
      folder,
      env: { ...pipeline.environment, ...more },
      mine: point && { point, at: 1 },
    })
  }

  /** Runs a worker that dies at `point`. */
  async function crash(point: CrashPoint): Promise<void> {
    expect(await start('worker', point).ended).toBe('SIGKILL')
  }

  // Jobs left by a dead worker would reach the next test's worker and trigger its crash point.
  afterEach(async () => {
    for (const queue of Object.values(pipeline.api.queues.queues)) await queue.obliterate({ force: true })
  })

  /** Ends every lease and back-off of a dead worker, as time would. */
  async function expireLeases(): Promise<void> {
    await sql(`UPDATE submissions SET lease_until = now() WHERE state = 'started'`)
    await sql(`UPDATE generations SET due_at = now() WHERE due_at IS NOT NULL`)
    await sql(`UPDATE deliveries SET next_attempt_at = now(), due_at = now() WHERE state = 'pending'`)
  }

  /** Runs a healthy worker until the generation has ended and every webhook is delivered. */
  async function goOn(id: string) {
    await expireLeases()
    const worker = await pipeline.startWorker()
    try {
      const generation = await pipeline.ended(id)
      await until('the webhook', () => receipts(id).length > 0, { timeoutMs: 30_000 })
      await until(
        'its record',
        async () => (await sql(`SELECT 1 FROM deliveries WHERE state = 'pending'`)).length === 0,
        {
          timeoutMs: 30_000,
        },
      )
      return generation
    } finally {
      await worker.close()
    }
  }

  const receipts = (id: string) => pipeline.receipts().filter((receipt) => receipt.data.id === id)
  const states = async (id: string) => (await pipeline.ledger(id)).map((one) => one.state)
  const post = (fields = {}, tags = '[sim:render=0]') =>
    pipeline.post(tags, { webhook_url: pipeline.hook('/hook'), ...fields })

  describe.each(onOne(PAYING))('a worker that dies at %s', (point, received) => {
    it('leaves an intent that is read as unknown: never a second request, and the failure says so', async () => {
      const id = await post()
      await crash(point)
      expect(await states(id)).toEqual(['started'])
      expect(await pipeline.submissions(id)).toBe(received)

      expect(await goOn(id)).toMatchObject({ status: 'failed', error: { code: 'submission_unknown' } })
      expect(await states(id)).toEqual(['unknown'])
      expect(await pipeline.submissions(id)).toBe(received)
      expect(receipts(id).map((receipt) => receipt.type)).toEqual(['generation.failed'])
    })
  })

  // One point before the request and one point after the request are enough.
  it.each(onOne(PAYING.filter(([point]) => point === 'submit.after-intent' || point === 'submit.during-post')))(
    'a worker that dies at %s is followed by exactly one more request when the caller asked for it',
    async (point, received) => {
      const id = await post({ on_unknown_submission: 'resubmit' })
      await crash(point)
      expect(await goOn(id)).toMatchObject({ status: 'completed' })
      expect(await states(id)).toEqual(['unknown', 'accepted'])
      expect(await pipeline.submissions(id)).toBe(received + 1)
    },
  )

  it.each(backend === 'redis' ? BESIDE : BESIDE_ITS_QUEUE)(
    'a worker that dies at %s costs time only: one request, one end, its webhook',
    async (point) => {
      // A poller completes a completed answer at once; only other answers wait for the complete step.
      const ends = point === 'complete.begun' ? 'failed' : 'completed'
      const id = await post({}, ends === 'failed' ? '[sim:fail]' : undefined)
      await crash(point)
      expect(await goOn(id)).toMatchObject({ status: ends })
      expect(await states(id)).toEqual(['accepted'])
      expect(await pipeline.submissions(id)).toBe(1)
      expect(new Set(receipts(id).map((receipt) => `${receipt.webhookId} ${receipt.body}`)).size).toBe(1)
      expect(receipts(id)).toHaveLength(point === 'deliver.sent' ? 2 : 1)
    },
  )

  it.each(onOne(['silent']))(
    'a worker killed while the provider is %s has asked once, and nobody asks again',
    async () => {
      const id = await pipeline.post('[sim:hang]', { webhook_url: pipeline.hook('/hook') })
      const worker = start('worker', null, { UPSTREAM_TIMEOUT_MS: '60000' })
      await until('the request is there', async () => (await pipeline.submissions(id)) === 1, { timeoutMs: 30_000 })
      expect(await worker.end('SIGKILL')).toBe('SIGKILL')
      expect(await states(id)).toEqual(['started'])
      expect(await goOn(id)).toMatchObject({ status: 'failed', error: { code: 'submission_unknown' } })
      expect(await pipeline.submissions(id)).toBe(1)
    },
  )

  it.each(
    onOne([
      ['accept.committed', '/v1/generations', { model: 'openAiSora2Plus', prompt: 'once' }],
      ['accept.transacted', '/v1/batches', { items: [{ model: 'openAiSora2Plus', prompt: 'once in a batch' }] }],
    ] as const),
  )('an API that dies at %s has accepted: the client repeats and gets the same', async (point, path, body) => {
    const port = await closedPort()
    const api = start('api', point, { PORT: String(port) })
    const url = `http://127.0.0.1:${port}`
    await until('the API answers', async () => (await fetch(`${url}/healthz`)).ok, { timeoutMs: 30_000 })
    const { key } = pipeline.api
    const headers = { 'idempotency-key': `key of ${point}` }
    await expect(clientOf(url, key).post(path, body, headers)).rejects.toThrow()
    expect(await api.ended).toBe('SIGKILL')

    const again = await clientOf(pipeline.api.url, key).post(path, body, headers)
    expect(again.status).toBe(202)
    expect(again.headers['idempotency-replayed']).toBe('true')
    const rows = await sql<{ id: string; batch_id: string | null }>(
      `SELECT id, batch_id FROM generations WHERE prompt = '${'prompt' in body ? body.prompt : body.items[0].prompt}'`,
    )
    expect(rows).toHaveLength(1)
    const { id } = JSON.parse(again.text) as { id: string }
    expect([rows[0]?.id, rows[0]?.batch_id]).toContain(id)
    if (point === 'accept.committed') expect(generationOf(again).id).toBe(rows[0]?.id)
  })
})
