// One poll in a hundred is never answered: all other work continues unaffected, on both backends.

import { addApiKey, ensureProject, newApiKey } from '@reelqueue/shared/store/projects'
import { afterEach, expect, it } from 'vitest'
import { clientOf, generationOf, MINIMAL } from './support/api.ts'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'

const ALL = 400
const SILENT = 4

let pipeline: Pipeline
afterEach(() => pipeline.close())

it.each(BACKENDS)('one per cent of silent polls delays no other poll on %s', { timeout: 300_000 }, async (backend) => {
  // Polls time out after 15 s here; silent tasks are polled again and occupy places all the time.
  const env = { UPSTREAM_TIMEOUT_MS: '60000', UPSTREAM_MAX_IN_FLIGHT: '500' }
  pipeline = await startPipeline({ backend, workers: 1, env })
  const { database } = pipeline.api
  const quiet = await ensureProject(database, 'quiet', () => 'sealed')
  const key = newApiKey()
  await addApiKey(database, quiet.id, 'tests', key)
  const client = clientOf(pipeline.api.url, key)
  const completed = async (which: object) =>
    await database.prisma.generation.count({ where: { ...which, status: 'completed' } })

  /** Sends a batch and one generation of the quiet project, and waits for all but the silent ones. */
  async function besideABatch(tagsOf: (n: number) => string, silent: number) {
    const batch = await pipeline.postBatch(Array.from({ length: ALL }, (_, n) => ({ ...MINIMAL, prompt: tagsOf(n) })))
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    await until('the quiet one has its video', async () => (await completed({ id })) === 1, { timeoutMs: 60_000 })
    await until('all others have completed', async () => (await completed({ batchId: batch })) === ALL - silent, {
      timeoutMs: 60_000,
    })
    const { submittedAt, finishedAt } = await database.prisma.generation.findUniqueOrThrow({ where: { id } })
    return { batch, tookMs: Number(finishedAt) - Number(submittedAt) }
  }

  const { tookMs: usualMs } = await besideABatch(() => '', 0)
  const { batch, tookMs } = await besideABatch((n) => (n % (ALL / SILENT) === 0 ? '[sim:pollhang]' : ''), SILENT)
  // A poller that waited for a silent poll would come fifteen seconds later than usual.
  expect(tookMs).toBeLessThan(Math.max(2 * usualMs, 10_000))
  const silent = await database.prisma.generation.findMany({ where: { batchId: batch, status: { not: 'completed' } } })
  expect(silent.map((row) => row.status)).toEqual(Array(SILENT).fill('processing'))
})
