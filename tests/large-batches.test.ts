// A large cancel beside a quiet project, on both backends: answered soon, continued in the background even when
// processes are killed in the middle; other projects do not wait, and each generation is cancelled once.

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { batchJson } from '@reelqueue/contract/wire/batch'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { markCancelled } from '@reelqueue/shared/store/lifecycle/batch-changes'
import { afterEach, describe, expect, it } from 'vitest'
import { bundleEntries } from './chaos/bundle.ts'
import { startProcess } from './chaos/processes.ts'
import { type Client, clientOf, clientOfNewProject, generationOf, MINIMAL } from './support/api.ts'
import { openClient, runSql } from './support/database.ts'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'

/** Limit for any other request during a large cancel. */
const SOON_MS = 5_000
const KILLS_CANCELLING = 5
const KILLS_FANNING_OUT = 5

let pipeline: Pipeline | undefined
afterEach(async () => {
  await pipeline?.close()
  pipeline = undefined
})

/** A batch of lines, in a project with the given number of endpoints at a server that does not exist. */
async function acceptLarge({ api }: Pipeline, client: Client, lines: number, endpoints: number): Promise<string> {
  const { id: projectId } = await api.database.prisma.project.findFirstOrThrow({ where: { name: 'default' } })
  await api.database.prisma.webhookEndpoint.createMany({
    data: Array.from({ length: endpoints }, (_, index) => ({
      id: `we_${index}`,
      projectId,
      url: `https://hooks.invalid/${index}`,
      eventTypes: ['generation.cancelled'],
      secret: api.context.sealer.seal(api.webhookSecret, secretPlace(`we_${index}`)),
    })),
  })
  const body = Array.from({ length: lines }, () => `${JSON.stringify(MINIMAL)}\n`).join('')
  const reply = await client.post('/v1/batches', body, { 'content-type': 'application/x-ndjson' })
  expect(reply.status, reply.text).toBe(202)
  return batchJson.parse(JSON.parse(reply.text)).id
}

/** Checks the generations and the deliveries to their endpoints. */
async function expectCancelledOnce({ api }: Pipeline, batchId: string, lines: number, endpoints: number) {
  const isFannedOut = async () => (await api.database.prisma.pendingFanOut.count()) === 0
  await until('all deliveries exist', isFannedOut, { timeoutMs: 60_000 })
  const [row] = await api.database.prisma.$queryRaw<Record<string, number>[]>`
    SELECT count(*)::int AS events, count(DISTINCT e.generation_id)::int AS generations,
      (SELECT count(*)::int FROM deliveries d JOIN events of ON of.id = d.event_id WHERE of.type = 'generation.cancelled') AS deliveries,
      (SELECT count(*)::int FROM events WHERE batch_id = ${batchId}) AS ends
    FROM events e JOIN generations g ON g.id = e.generation_id WHERE g.batch_id = ${batchId} AND e.type = 'generation.cancelled'`
  expect(row).toEqual({ events: lines, generations: lines, deliveries: lines * endpoints, ends: 1 })
}

describe.each(BACKENDS)('on %s', { timeout: 300_000 }, (backend) => {
  it('a large cancel is answered soon, counts add up, and another project is accepted and submitted meanwhile', async () => {
    const [lines, endpoints] = [5_000, 20]
    pipeline = await startPipeline({
      backend,
      workers: 1,
      env: { UPSTREAM_MAX_IN_FLIGHT: '10', RECONCILE_INTERVAL_MS: '500' },
    })
    const { api } = pipeline
    const client = clientOf(api.url, api.key)
    const quiet = await clientOfNewProject(api, 'quiet')
    // The large batch takes all slots.
    api.context.admitter.admit()
    const id = await acceptLarge(pipeline, client, lines, endpoints)
    const read = async () => batchJson.parse(JSON.parse((await client.get(`/v1/batches/${id}`)).text))
    await until('it is under way', async () => (await read()).counts.queued < lines)
    // However fast the machine is, the cancel continues after the reply: its last row is locked until then.
    const holder = await openClient(api.context.config.DATABASE_URL ?? '')
    await holder.query('BEGIN')
    await holder.query(
      `SELECT 1 FROM generations WHERE batch_id = '${id}' AND status = 'queued' AND admitted_at IS NULL ORDER BY id DESC LIMIT 1 FOR UPDATE`,
    )

    const askedAt = performance.now()
    const reply = await client.post(`/v1/batches/${id}/cancel`)
    expect(performance.now() - askedAt).toBeLessThan(SOON_MS)
    expect(reply.status).toBe(202)
    const first = batchJson.parse(JSON.parse(reply.text))
    expect(first.status).toBe('cancelling')
    let rounds = 0
    for (let open = true; open; rounds++) {
      const postedAt = performance.now()
      const accepted = await quiet.post('/v1/generations', { ...MINIMAL, prompt: '[sim:render=0]' })
      expect(accepted.status, accepted.text).toBe(202)
      expect(performance.now() - postedAt).toBeLessThan(SOON_MS)
      const mine = generationOf(accepted)
      await until(
        'it is submitted',
        async () => generationOf(await quiet.get(`/v1/generations/${mine.id}`)).submitted_at !== null,
        {
          timeoutMs: SOON_MS,
        },
      )
      const batch = await read()
      expect(Object.values(batch.counts).reduce((sum, count) => sum + count, 0)).toBe(lines)
      open = batch.status === 'cancelling'
      if (rounds === 1) await holder.query('COMMIT')
    }
    await holder.end()
    expect(rounds).toBeGreaterThan(0)
    await until('it is over', async () => (await read()).completed_at !== null, { timeoutMs: 60_000 })
    const { counts } = await read()
    expect(counts.cancelled).toBeGreaterThan(lines / 2)
    await expectCancelledOnce(pipeline, id, counts.cancelled, endpoints)
  })
})

it('a cancel whose process is killed ten times completes: one event for each generation, one delivery for each of its URLs', async () => {
  const [lines, endpoints] = [4_000, 20]
  pipeline = await startPipeline({ backend: 'postgres', workers: 0, env: { RECONCILE_INTERVAL_MS: '100' } })
  const { api, environment } = pipeline
  const entries = await bundleEntries()
  const folder = await mkdtemp(join(tmpdir(), 'reelqueue-large-'))
  const url = api.context.config.DATABASE_URL ?? ''
  try {
    const id = await acceptLarge(pipeline, clientOf(api.url, api.key), lines, endpoints)
    await markCancelled(api.database, id, true)
    const cancelled = async () => api.database.prisma.generation.count({ where: { batchId: id, status: 'cancelled' } })
    const created = async () => api.database.prisma.delivery.count()
    // Without a key nothing is admitted, so every end comes from the cancel.
    const env = { ...environment, UPSTREAM_API_KEY: '' }
    const start = (name: string) => startProcess({ role: 'worker', entries, name, folder, env, mine: null })
    const killOnce = async (name: string, progress: () => Promise<number>) => {
      const before = await progress()
      const worker = start(name)
      await until('it has begun', async () => (await progress()) > before, { timeoutMs: 60_000 })
      expect(await worker.end('SIGKILL')).toBe('SIGKILL')
      // Ends the lease of the dead process, as time would.
      await runSql(url, "UPDATE batches SET change_until = now() - interval '1 s'")
    }
    for (let kill = 1; kill <= KILLS_CANCELLING; kill++) await killOnce(`cancelling-${kill}`, cancelled)
    expect(await cancelled()).toBeLessThan(lines)
    for (let kill = 1; kill <= KILLS_FANNING_OUT; kill++) await killOnce(`fanning-out-${kill}`, created)
    expect(await created()).toBeLessThan(lines * endpoints)
    const last = start('worker-last')
    const isOver = async () => (await api.database.prisma.batch.findUniqueOrThrow({ where: { id } })).completedAt
    await until('it is over', isOver, { timeoutMs: 60_000 })
    await expectCancelledOnce(pipeline, id, lines, endpoints)
    await last.end('SIGTERM')
  } finally {
    await entries.remove()
    await rm(folder, { recursive: true, force: true })
  }
}, 300_000)
