// Adoption over HTTP with the simulator as the provider: a task id is never trusted without asking the provider.

import type { GenerationJson } from '@reelqueue/contract/wire/generation'
import { recordOutcome } from '@reelqueue/shared/store/lifecycle/record-outcome'
import { buildSimulator } from '@reelqueue/simulator/app'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import {
  clientOf,
  clientOfNewProject,
  countRows,
  generationOf,
  MINIMAL,
  problemOf,
  send,
  startApi,
} from './support/api.ts'
import { createDatabase, runSql } from './support/database.ts'
import { openSubmission, startGeneration } from './support/endings.ts'
import { startTestApp } from './support/test-app.ts'

const UPSTREAM_KEY = 'upstream-key'
const simulator = buildSimulator({ speed: 1 })
const upstreamUrl = await simulator.listen({ host: '127.0.0.1', port: 0 })
const { database, app, client } = await startApi({
  UPSTREAM_BASE_URL: upstreamUrl,
  UPSTREAM_API_KEY: UPSTREAM_KEY,
  UPSTREAM_TIMEOUT_MS: '1000',
})
afterAll(() => simulator.close())
afterEach(async () => {
  await simulator.inject({ method: 'DELETE', url: '/control/faults' })
  await runSql(database.url, 'UPDATE projects SET max_in_flight = NULL')
})

const OPTIONS = { firstPollMs: 60_000, renderMaxMs: 60_000 }
const UNKNOWN = { kind: 'unknown', code: 'upstream_timeout', message: 'no answer', httpStatus: null } as const
const REFUSED = { ...UNKNOWN, kind: 'rejected', retryable: false, backoffMs: 0 } as const

async function accept(by = client): Promise<GenerationJson> {
  return generationOf(await by.post('/v1/generations', MINIMAL))
}

async function failed(result: typeof UNKNOWN | typeof REFUSED, by = client): Promise<string> {
  const { id } = await accept(by)
  await recordOutcome(app.database, await openSubmission(app.database, id), result, OPTIONS)
  return id
}

/** A task created at the provider outside the queue, rendering until a test ends the task. */
async function made(): Promise<string> {
  const reply = await send(
    'POST',
    `${upstreamUrl}/v1/sora/videos`,
    { ...MINIMAL, prompt: 'x [sim:stuck]' },
    { authorization: `Bearer ${UPSTREAM_KEY}` },
  )
  return (JSON.parse(reply.text) as { id: string }).id
}
const end = (task: string) =>
  simulator.inject({ method: 'POST', url: `/control/tasks/${task}`, payload: { status: 'completed' } })
const fault = (name: string) =>
  simulator.inject({ method: 'POST', url: '/control/faults', payload: { on: 'poll', fault: name } })
const polls = async () => (await simulator.inject('/control/stats')).json<{ polls: Record<string, number> }>().polls
const adopt = (id: string, task: string, by = client) =>
  by.post(`/v1/generations/${id}/adopt`, { upstream_task_id: task })
const adoptAsOperator = (id: string, task: string, headers: Record<string, string> = { ...app.login }) =>
  send('POST', `${app.url}/admin/generations/${id}/adopt`, { upstream_task_id: task }, headers)

describe('a task that the provider has', () => {
  it('is adopted after it was asked, and once only: a repeated request asks nothing and changes nothing', async () => {
    const [id, task] = [await failed(UNKNOWN), await made()]
    const adopted = generationOf(await adopt(id, ` ${task} `))
    expect(adopted).toMatchObject({ id, status: 'processing', upstream_task_id: task, error: null })
    const before = await polls()
    expect(generationOf(await adopt(id, task))).toEqual(adopted)
    expect(await polls()).toEqual(before)
  })

  it('is not adopted where every submission was answered, but for an operator', async () => {
    const [id, task] = [await failed(REFUSED), await made()]
    const before = await polls()
    expect(problemOf(await adopt(id, task))).toMatchObject({ status: 409, code: 'no_unknown_submission' })
    expect(await polls()).toEqual(before)
    for (const headers of [{}, { authorization: `Bearer ${app.key}` }])
      expect(problemOf(await adoptAsOperator(id, task, headers)).code).toBe('operator_login_required')
    expect(generationOf(await adoptAsOperator(id, task))).toMatchObject({
      status: 'processing',
      upstream_task_id: task,
    })
    expect(problemOf(await adoptAsOperator('gen_none', task)).code).toBe('not_found')
  })

  it('needs a slot of the project while it renders, and none when it is done', async () => {
    await runSql(database.url, 'UPDATE projects SET max_in_flight = 1')
    const other = await clientOfNewProject(app, 'full')
    const [id, task] = [await failed(UNKNOWN, other), await made()]
    await runSql(database.url, `UPDATE projects SET max_in_flight = 1 WHERE name = 'full'`)
    await startGeneration(app.database, (await accept(other)).id)
    const reply = await adopt(id, task, other)
    expect(problemOf(reply)).toMatchObject({ status: 429, code: 'slots_full' })
    expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
    expect(generationOf(await other.get(`/v1/generations/${id}`))).toMatchObject({ status: 'failed' })
    await end(task)
    expect(generationOf(await adopt(id, task, other))).toMatchObject({ status: 'processing' })
  })

  it('of another generation is refused, before the provider is asked', async () => {
    const taken = await startGeneration(app.database, (await accept()).id)
    const before = await polls()
    expect(problemOf(await adopt(await failed(UNKNOWN), taken))).toMatchObject({ code: 'upstream_task_taken' })
    expect(await polls()).toEqual(before)
  })
})

describe('a task that the provider does not confirm', () => {
  async function expectUnchanged(id: string, act: () => Promise<void>): Promise<void> {
    const rows = await countRows(database.url)
    const before = generationOf(await client.get(`/v1/generations/${id}`))
    await act()
    expect(generationOf(await client.get(`/v1/generations/${id}`))).toEqual(before)
    expect(await countRows(database.url)).toEqual(rows)
  }

  it('is unknown: 422, and nothing changed', async () => {
    const id = await failed(UNKNOWN)
    await expectUnchanged(id, async () => {
      const problem = problemOf(await adopt(id, 'sora_made_up'))
      expect(problem).toMatchObject({ status: 422, code: 'upstream_task_unknown' })
      expect(problem.detail).toContain('404')
      expect(problemOf(await adoptAsOperator(id, 'sora_made_up')).code).toBe('upstream_task_unknown')
    })
  })

  it.each(['500', '429', 'reset', 'hang', 'html', 'refuse=401', 'page=404', 'cdn=521', 'reject=1001,busy'])(
    'may exist when the provider answers with %s: 503 with Retry-After, and nothing changed',
    async (name) => {
      const [id, task] = [await failed(UNKNOWN), await made()]
      await fault(name)
      await expectUnchanged(id, async () => {
        const reply = await adopt(id, task)
        expect(problemOf(reply)).toMatchObject({ status: 503, code: 'upstream_unavailable' })
        expect(Number(reply.headers['retry-after'])).toBeGreaterThan(0)
      })
    },
  )

  it('cannot be asked about by an API without a key for the provider: 503 that says so', async () => {
    const own = await createDatabase()
    const keyless = await startTestApp({ databaseUrl: own.url, api: true })
    try {
      const there = clientOf(keyless.url, keyless.key)
      const { id } = await accept(there)
      await recordOutcome(keyless.database, await openSubmission(keyless.database, id), UNKNOWN, OPTIONS)
      const reply = await adopt(id, 'sora_any', there)
      expect(problemOf(reply)).toMatchObject({ status: 503, code: 'upstream_unavailable' })
      expect(problemOf(reply).detail).toContain('UPSTREAM_API_KEY')
      expect(reply.headers['retry-after']).toBe('60')
    } finally {
      await keyless.close()
      await own.drop()
    }
  })
})
