// The submit step by plain calls, against a real Postgres and a real server in the provider's place.

import { createGlobalAi } from '@reelqueue/shared/providers/globalai/adapter'
import type { Database } from '@reelqueue/shared/store/database'
import { Prisma } from '@reelqueue/shared/store/generated/client'
import { failOverdue } from '@reelqueue/shared/store/lifecycle/polling'
import { retryGeneration } from '@reelqueue/shared/store/lifecycle/retries'
import { nameOf } from '@reelqueue/shared/store/sql'
import { createMicroBatches } from '@reelqueue/worker/micro-batches'
import { submit } from '@reelqueue/worker/steps/submit'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { attemptsOn } from './support/attempts.ts'
import { answer, hang, startScriptedUpstream } from './support/scripted-upstream.ts'
import { pollOf, seedDatabase, taskIdOf } from './support/seed.ts'
import { afterCommitOf, stepDeps } from './support/step-deps.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const TIMEOUT_MS = 1_000
const RENDERING = { id: 'x', object: 'video.generation', status: 'processing' }

const seed = await seedDatabase()
const app = await startTestApp({ databaseUrl: seed.url })
const provider = await startScriptedUpstream()
const upstream = createGlobalAi({ baseUrl: provider.origin, apiKey: 'key', timeoutMs: TIMEOUT_MS })
let admissions = 0
const deps = {
  ...stepDeps(app, { upstreamTimeoutMs: TIMEOUT_MS }),
  afterCommit: afterCommitOf(app, () => {
    admissions += 1
  }),
}
const run = (id: string, database: Database = deps.database) =>
  submit({ ...deps, database, batches: createMicroBatches({ database, log: deps.log }), upstream }, id)
const creates = () => provider.received.filter((one) => one.method === 'POST').length
const asks = () => provider.received.filter((one) => one.method === 'GET').map((one) => one.url)

beforeEach(() => {
  admissions = 0
})
afterAll(async () => {
  await app.close()
  await upstream.close()
  await provider.stop()
  await seed.close()
})

/** A database whose commits run through `around`: transactions, and moves that commit by themselves. */
function withCommits(around: (commit: () => Promise<unknown>) => Promise<unknown>): Database {
  const prisma = new Proxy(app.database.prisma, {
    get(target, name, receiver) {
      if (name === '$transaction')
        return (...args: Parameters<typeof target.$transaction>) => around(() => target.$transaction(...args))
      if (name === '$queryRaw')
        return (statement: Prisma.Sql | TemplateStringsArray, ...values: unknown[]) => {
          const ask = async () => await target.$queryRaw(statement, ...values)
          return statement instanceof Prisma.Sql && nameOf(statement.sql)?.startsWith('move.') ? around(ask) : ask()
        }
      return Reflect.get(target, name, receiver)
    },
  })
  return { ...app.database, prisma }
}

describe('the intent', () => {
  it('is committed, with a lease of the timeout and half a minute, before the provider receives the request', async () => {
    const id = await seed.admitted()
    let committed: Awaited<ReturnType<typeof seed.row>> | undefined
    provider.play(async (response) => {
      committed = await seed.row(id)
      response.end(JSON.stringify({ id: 'sora_lease' }))
    })
    expect(await run(id)).toEqual({ kind: 'done' })
    const [submission] = committed?.submissions ?? []
    expect(committed?.status).toBe('submitting')
    expect(submission?.state).toBe('started')
    expect(Number(submission?.leaseUntil) - Number(submission?.startedAt)).toBe(TIMEOUT_MS + 30_000)
    expect(await seed.row(id)).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_lease' })
  })

  it('is given up, certainly unpaid, by a worker that was paused for more than five seconds after it', async () => {
    const id = await seed.admitted()
    provider.play(answer(200, { id: 'sora_too_late' }))
    let first = true
    const paused = withCommits(async (commit) => {
      const result = await commit()
      if (!first) return result
      first = false
      const since = performance.now()
      await until('the pause is over', () => performance.now() - since > 5_050)
      return result
    })
    expect(await run(id, paused)).toMatchObject({ kind: 'later' })
    expect(creates()).toBe(0)
    const row = await seed.row(id)
    expect(row).toMatchObject({ status: 'submitting', mayBeCharged: false })
    expect(row.submissions).toMatchObject([{ state: 'rejected', errorCode: 'given_up_before_post' }])
  })

  it('may wait for the row without growing old: what counts is the time since it was committed', async () => {
    const id = await seed.admitted()
    provider.play(answer(200, { id: 'sora_waited' }))
    const slow = withCommits(async (commit) => {
      const since = performance.now()
      await until('the lock is free', () => performance.now() - since > 5_050)
      return await commit()
    })
    await run(id, slow)
    expect(creates()).toBe(1)
    expect((await seed.row(id)).status).toBe('processing')
  })
})

describe('an outcome', () => {
  it('with a task id is recorded although Postgres refuses at first', async () => {
    const id = await seed.admitted()
    provider.play(answer(200, { id: 'sora_kept' }))
    let commits = 0
    const failing = withCommits(async (commit) => {
      commits += 1
      if (commits === 2 || commits === 3) throw new Error('Connection terminated unexpectedly')
      return await commit()
    })
    await run(id, failing)
    expect(creates()).toBe(1)
    expect(await seed.row(id)).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_kept' })
  })

  it('with a task id starts the pollers before the provider is asked whether it knows the task', async () => {
    const id = await seed.admitted()
    let starts = 0
    let before: number | undefined
    const pollers = { ...app.queues.pollers, start: () => void starts++ }
    const afterCommit = afterCommitOf({ queues: { ...app.queues, pollers } })
    provider.play((response, one) => {
      if (one.method === 'GET') before ??= starts
      answer(200, { ...RENDERING, id: 'sora_woken' })(response, one)
    })
    await submit({ ...deps, afterCommit, isProven: () => false, upstream }, id)
    expect(before).toBe(1)
  })

  it('of an unknown outcome is submitted once more when the caller asked for it, and never a third time', async () => {
    const id = await seed.admitted({ onUnknownSubmission: 'resubmit' })
    provider.play(hang)
    expect(await run(id)).toEqual({ kind: 'later', delayMs: 0 })
    expect(await run(id)).toEqual({ kind: 'done' })
    expect(await run(id)).toEqual({ kind: 'done' })
    expect(creates()).toBe(2)
    expect(await seed.row(id)).toMatchObject({ status: 'failed', errorCode: 'submission_unknown' })
    expect(admissions).toBe(1)
  })
})

describe('a retry after a deadline', () => {
  async function retried(): Promise<string> {
    const id = await seed.processing()
    await failOverdue(seed.database, [pollOf(id)], 'deadline_exceeded', 60_000)
    await retryGeneration(seed.database, id)
    await seed.admitted()
    return id
  }

  it('takes the video that the old task has by now, and pays nothing', async () => {
    const id = await retried()
    provider.play(answer(200, { ...RENDERING, status: 'completed', video_url: 'https://v/late' }))
    await run(id)
    expect(asks()).toEqual([`/v1/result/${taskIdOf(id)}`])
    expect(creates()).toBe(0)
    expect(await seed.row(id)).toMatchObject({ status: 'completed', videoUrl: 'https://v/late' })
  })

  it.each([
    ['is still rendering', [answer(200, RENDERING)]],
    ['failed', [answer(200, { ...RENDERING, status: 'failed', error: 'no' })]],
    // A single bad answer does not cause a second payment.
    ['is forgotten', Array.from({ length: 3 }, () => answer(404, { error: 'task not found' }))],
    ['is not answered for', [hang, hang, hang]],
    ['is not answered for at first', [hang, answer(200, RENDERING)]],
  ])('pays again when the old task %s', async (_case, replies) => {
    const id = await retried()
    provider.play(...replies, answer(200, { id: `sora_new_${id}` }))
    await run(id)
    expect(asks()).toEqual(replies.map(() => `/v1/result/${taskIdOf(id)}`))
    expect(creates()).toBe(1)
    expect(await seed.row(id)).toMatchObject({ status: 'processing', upstreamTaskId: `sora_new_${id}`, attempt: 2 })
  })

  it('asks nothing when there never was a task', async () => {
    const id = await seed.admitted()
    provider.play(hang, answer(200, { id: 'sora_2nd' }))
    await run(id)
    await retryGeneration(seed.database, id)
    await seed.admitted()
    await run(id)
    expect(asks()).toEqual([])
    expect(await seed.row(id)).toMatchObject({ status: 'processing', upstreamTaskId: 'sora_2nd' })
  })

  it('asks about an adopted task as about any other', async () => {
    const id = await seed.processing()
    await failOverdue(seed.database, [pollOf(id)], 'deadline_exceeded', 60_000)
    await attemptsOn(seed).adopt(id, `sora_adopted_${id}`)
    await failOverdue(
      seed.database,
      [{ id, upstreamTaskId: `sora_adopted_${id}`, dispatchCount: 1 }],
      'deadline_exceeded',
      60_000,
    )
    await retryGeneration(seed.database, id)
    await seed.admitted()
    provider.play(answer(200, { ...RENDERING, status: 'completed', video_url: 'https://v/adopted' }))
    await run(id)
    expect(asks()).toEqual([`/v1/result/sora_adopted_${id}`])
    expect((await seed.row(id)).videoUrl).toBe('https://v/adopted')
  })
})
