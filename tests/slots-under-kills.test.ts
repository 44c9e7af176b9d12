// The slot limit holds while workers are killed: four processes admit and submit and are killed in turn at random
// moments. No look at the table finds more generations in flight than slots.

import { afterEach, expect, it } from 'vitest'
import { type RunningCommand, runCommand } from './support/command.ts'
import { type Pipeline, startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'

const SLOTS = 30
const WORKERS = 4
const KILLS = 3
const GENERATIONS = 100

let pipeline: Pipeline | undefined
afterEach(async () => {
  await pipeline?.close()
  pipeline = undefined
})

it('is never exceeded under four workers that are killed', async () => {
  const env = { UPSTREAM_MAX_IN_FLIGHT: String(SLOTS), RECONCILE_INTERVAL_MS: '500' }
  pipeline = await startPipeline({ backend: 'postgres', workers: 0, speed: 100, env })
  const { api, environment, simulator } = pipeline
  const start = async (): Promise<RunningCommand> => {
    const worker = runCommand(['start-worker'], environment)
    await until('a worker has started', () => worker.output().includes('worker.started'), { timeoutMs: 60_000 })
    return worker
  }
  const workers = await Promise.all(Array.from({ length: WORKERS }, start))
  await pipeline.postBatch(Array.from({ length: GENERATIONS }, () => ({ model: 'openAiSora2Plus' })))

  const seen: number[] = []
  const slots = async () => {
    const [row] = await api.database.prisma.$queryRaw<{ held: number; ended: number }[]>`
      SELECT (count(*) FILTER (WHERE admitted_at IS NOT NULL AND status IN ('queued', 'submitting', 'processing'))
          + count(*) FILTER (WHERE slot_until > now()))::int AS held,
        count(*) FILTER (WHERE finished_at IS NOT NULL)::int AS ended FROM generations`
    seen.push(row?.held ?? Number.NaN)
    return row?.ended ?? 0
  }
  for (let kill = 1; kill <= KILLS; kill++) {
    const goal = kill * 10
    await until(`${goal} have ended`, async () => (await slots()) >= goal, { timeoutMs: 60_000 })
    workers.shift()?.child.kill('SIGKILL')
    workers.push(await start())
  }
  await until('half have ended', async () => (await slots()) >= GENERATIONS / 2, { timeoutMs: 60_000 })

  expect(Math.max(...seen)).toBe(SLOTS)
  const submitted = (await simulator.inject('/control/submissions')).json<{ total: number }>().total
  const ledger = await api.database.prisma.submission.count()
  // A killed request may have been sent or not; no request was sent twice.
  expect(submitted).toBeLessThanOrEqual(ledger)
}, 300_000)
