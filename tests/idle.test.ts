// An installation without work: the Redis commands and Postgres writes of a few seconds, and that new work starts at
// once. Reconcile runs only once, at the start, so everything here happens through enqueued jobs.

import { POLLERS, readPollers } from '@reelqueue/shared/queues/pollers'
import { expect, it } from 'vitest'
import { clientOf } from './support/api.ts'
import { runSql } from './support/database.ts'
import { BACKENDS, type Pipeline, startPipeline } from './support/pipeline.ts'
import { until } from './support/wait.ts'

const WINDOW_MS = 5_000
/** For two workers. Before this optimisation, pollers alone took 900. */
const REDIS_COMMANDS_MAX = 150
/** Before, 150 to 200 with queues on Postgres. */
const ROWS_WRITTEN_MAX = 50

async function redisCommands({ redis }: Pipeline): Promise<number> {
  const stats = (await redis?.run('INFO stats')) ?? ''
  return Number(/total_commands_processed:(\d+)/.exec(stats)?.[1] ?? 0)
}

/** Rows of this database only: the write-ahead log contains all databases. */
async function rowsWritten({ environment }: Pipeline): Promise<number> {
  const [row] = await runSql<{ rows: string }>(
    environment.DATABASE_URL ?? '',
    `SELECT tup_inserted + tup_updated + tup_deleted AS rows FROM pg_stat_database WHERE datname = current_database()`,
  )
  return Number(row?.rows)
}

/** The task created by the provider although the reply was lost. */
async function taskOfLost({ simulator }: Pipeline): Promise<string> {
  const reply = await simulator.inject('/control/submissions')
  const { submissions } = reply.json<{ submissions: { prompt: string; taskId: string | null }[] }>()
  return submissions.find(({ prompt }) => prompt.includes('[sim:reset]'))?.taskId ?? ''
}

it.concurrent.each(BACKENDS)(
  'on %s, an idle installation asks and writes next to nothing, polls at once what is submitted or adopted, and is idle again',
  async (backend) => {
    const pipeline = await startPipeline({ backend, env: { RECONCILE_INTERVAL_MS: '600000' } })
    const { poll } = pipeline.api.queues.queues
    const pollersRest = () =>
      until('the lanes rest', async () => {
        expect(await readPollers(poll)).toMatchObject({ busy: [], lost: [] })
        expect(await poll.getDelayedCount()).toBe(POLLERS)
        return true
      })
    try {
      await pollersRest()
      const [commands, rows] = [await redisCommands(pipeline), await rowsWritten(pipeline)]
      const begunAt = performance.now()
      await until('the window is over', () => performance.now() - begunAt >= WINDOW_MS)
      expect((await redisCommands(pipeline)) - commands).toBeLessThan(REDIS_COMMANDS_MAX)
      expect((await rowsWritten(pipeline)) - rows).toBeLessThan(ROWS_WRITTEN_MAX)

      const [done, lost] = [await pipeline.post(''), await pipeline.post('[sim:reset]')]
      expect(await pipeline.ended(done)).toMatchObject({ status: 'completed' })
      expect(await pipeline.ended(lost)).toMatchObject({ error: { code: 'submission_unknown' } })

      await pollersRest()
      const client = clientOf(pipeline.api.url, pipeline.api.key)
      const body = { upstream_task_id: await taskOfLost(pipeline) }
      const reply = await client.post(`/v1/generations/${lost}/adopt`, body)
      expect(reply.status, reply.text).toBe(200)
      expect(await pipeline.ended(lost)).toMatchObject({ status: 'completed' })
    } finally {
      await pipeline.close()
    }
  },
  90_000,
)
