// The provider refuses every request, or has a short outage, while a backlog waits: the whole pipeline with the
// simulator.

import { afterAll, expect, it } from 'vitest'
import { clientOf, send } from './support/api.ts'
import { startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'

const SLOTS = 12
const pipeline = await startPipeline({
  backend: 'postgres',
  workers: 1,
  env: { UPSTREAM_MAX_IN_FLIGHT: String(SLOTS), RECONCILE_INTERVAL_MS: '1000' },
})
const { api, simulator } = pipeline
afterAll(() => pipeline.close())

async function arm(fault: string): Promise<void> {
  for (const on of ['create', 'poll']) {
    const reply = await simulator.inject({ method: 'POST', url: '/control/faults', payload: { on, fault } })
    expect(reply.statusCode, reply.body).toBe(200)
  }
}
const endFaults = () => simulator.inject({ method: 'DELETE', url: '/control/faults' })
const post = (count: number) => pipeline.postBatch(Array.from({ length: count }, () => ({ model: 'openAiSora2Plus' })))
async function counts(batch: string): Promise<Record<string, number>> {
  const rows = await api.database.prisma.generation.groupBy({ by: ['status'], where: { batchId: batch }, _count: true })
  return Object.fromEntries(rows.map((row) => [row.status, row._count]))
}
const gateCloses = (cause: string) =>
  until('the gate is closed', async () => (await pipeline.logs()).includes(`"cause":"${cause}"`), { timeoutMs: 30_000 })
const closings = async () => (await pipeline.logs()).split('"cause":"unreachable"').length
const readiness = async () => (await send('GET', `${api.url}/readyz`)).text
const endsWith = (batch: string, wanted: Record<string, number>) =>
  until(
    'all have ended',
    async () => {
      expect(await counts(batch)).toEqual(wanted)
      return true
    },
    { timeoutMs: 40_000 },
  )

it.each(['html', 'empty', 'nonjson'])(
  'HTTP 200 with %s, as behind a wrong base URL, costs a worker that has just started at most five',
  async (fault) => {
    const before = await closings()
    await arm(fault)
    try {
      const batch = await post(40)
      await until('the gate is closed', async () => (await closings()) > before, { timeoutMs: 30_000 })
      await until('none is under way', async () => (await counts(batch)).submitting === undefined)
      const { failed = 0 } = await counts(batch)
      expect(failed).toBeGreaterThan(0)
      expect(failed).toBeLessThanOrEqual(5)
      const cancelled = await clientOf(api.url, api.key).post(`/v1/batches/${batch}/cancel`, {})
      expect(cancelled.status, cancelled.text).toBeLessThan(300)
    } finally {
      await endFaults()
    }
    const resumed = await send('POST', `${api.url}/admin/submitting/resume`, undefined, api.login)
    expect(resumed.status, resumed.text).toBe(200)
  },
)

it.each([
  ['page=404', 'configuration', 0, /check UPSTREAM_BASE_URL/],
  ['reject=4001,Not enough credits', 'account', 0, /Not enough credits.*check UPSTREAM_API_KEY/],
  ['refuse=400,the plan has ended', 'request', 5, /the plan has ended/],
])(
  '%s to everybody costs at most five of a backlog, and the rest completes afterwards',
  async (fault, cause, costs, words) => {
    await arm(fault)
    const batch = await post(40)
    await gateCloses(cause)
    expect(await readiness()).toMatch(words)
    const [waiting] = await api.database.prisma.generation.findMany({
      where: { batchId: batch, status: 'queued' },
      take: 1,
    })
    expect(await pipeline.get(waiting?.id ?? '')).toMatchObject({ queue: { held: true } })
    expect((await counts(batch)).failed ?? 0).toBeLessThanOrEqual(costs)
    await until('no refused one is under way', async () => (await counts(batch)).submitting === undefined)
    await endFaults()
    const resumed = await send('POST', `${api.url}/admin/submitting/resume`, undefined, api.login)
    expect(resumed.status, resumed.text).toBe(200)
    await endsWith(batch, costs === 0 ? { completed: 40 } : { completed: 40 - costs, failed: costs })
  },
)

it('a moment of 521 from the CDN fails nothing; submissions go on by themselves', async () => {
  await arm('cdn=521')
  const batch = await post(40)
  await gateCloses('unreachable')
  await endFaults()
  await endsWith(batch, { completed: 40 })
})

it('a moment of 521 without the headers of a CDN leaves few unknown, and their slots hold nothing up', async () => {
  const before = await closings()
  await arm('521')
  const batch = await post(40)
  await until('it is closed', async () => (await closings()) > before, { timeoutMs: 30_000 })
  await endFaults()
  const unknown = await until(
    'none waits',
    async () => {
      const { completed = 0, failed = 0 } = await counts(batch)
      if (completed + failed < 40) throw new Error(`${completed} completed, ${failed} failed`)
      return failed
    },
    { timeoutMs: 40_000 },
  )
  expect(unknown).toBeLessThanOrEqual(SLOTS)
  expect(await pipeline.totalSubmissions()).toBe(await api.database.prisma.submission.count())
})
