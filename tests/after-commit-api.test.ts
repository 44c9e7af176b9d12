// What the API's commits lead to, counted with the queues' own jobs while no worker runs and nothing reconciles: each expectation says
// all that is enqueued and asked for. `submit` counts what was admitted: a generation of another project always waits.

import { setPaused } from '@reelqueue/shared/store/admission/submitting-gate'
import { pauseProject } from '@reelqueue/shared/store/projects'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { HOOK, startCounting } from './support/after-commit.ts'
import { MINIMAL, send } from './support/api.ts'
import { attemptsOn, VIDEO } from './support/attempts.ts'
import { endGeneration } from './support/endings.ts'
import { BACKENDS } from './support/pipeline.ts'
import { answer } from './support/scripted-upstream.ts'

/** Deliveries of one page of a large change that are enqueued, and those for one server. */
const [PER_PAGE, PER_SERVER] = [50, 20]

describe.each(BACKENDS)('on %s, with no worker and nothing that reconciles,', (backend) => {
  let counting: Awaited<ReturnType<typeof startCounting>>
  beforeAll(async () => {
    counting = await startCounting(backend)
  })
  beforeEach(() => counting.clear())
  afterAll(() => counting.close())

  /** What follows a request that must end with this status. */
  const following = (status: number, path: string, body?: unknown, method = 'POST') =>
    counting.following(async () => {
      const { app } = counting
      const login = path.startsWith('/admin') ? app.login : { authorization: `Bearer ${app.key}` }
      const reply = await send(method, app.url + path, body, login)
      expect(reply.status, reply.text).toBe(status)
    })
  const attempts = () => attemptsOn(counting.seed)
  async function failed(fields?: Parameters<typeof counting.seed.queued>[0]): Promise<string> {
    const id = await counting.seed.queued(fields)
    await endGeneration(counting.seed.database, id, 'failed')
    return id
  }
  const deliveryOf = async (id: string) => {
    const [row] = await counting.seed.sql<{ id: string }>(
      `SELECT id FROM deliveries WHERE event_id IN (SELECT id FROM events WHERE generation_id = $1)`,
      [id],
    )
    return row?.id ?? ''
  }

  it('a generation that was accepted is admitted', async () => {
    expect(await following(202, '/v1/generations', MINIMAL)).toEqual({ submit: 2 })
  })

  it('a batch that was accepted is admitted', async () => {
    expect(await following(202, '/v1/batches', { items: [MINIMAL, MINIMAL] })).toEqual({ submit: 3 })
  })

  it('a cancelled generation of a batch has its delivery enqueued, its batch looked at and its slot given on', async () => {
    const batchId = await counting.batch()
    const id = await counting.seed.admitted({ batchId, webhookUrl: HOOK })
    expect(await following(200, `/v1/generations/${id}/cancel`)).toEqual({ deliver: 1, maintain: 1, submit: 1 })
  })

  it('a cancel that finds a video is followed by what its completion leads to', async () => {
    const id = await counting.seed.processing({ webhookUrl: HOOK })
    await attempts().answered(id, VIDEO)
    expect(await following(409, `/v1/generations/${id}/cancel`)).toEqual({ deliver: 1, submit: 1 })
  })

  it('a retry is admitted, and asks for no look at its batch', async () => {
    const id = await failed({ batchId: await counting.batch() })
    expect(await following(200, `/v1/generations/${id}/retry`)).toEqual({ submit: 2 })
  })

  it('an adopted task is polled, and a video that has come meanwhile is delivered', async () => {
    const { id } = await attempts().unknown()
    counting.provider.play(answer(200, { id: 'sora_found', object: 'video.generation', status: 'processing' }))
    const adopted = { upstream_task_id: 'sora_found' }
    expect(await following(200, `/v1/generations/${id}/adopt`, adopted)).toEqual({ pollerStarts: 1 })

    const late = await counting.seed.processing({ webhookUrl: HOOK })
    await attempts().fail(late, 'deadline_exceeded')
    await attempts().answered(late, VIDEO)
    const other = { upstream_task_id: 'sora_other' }
    expect(await following(200, `/v1/generations/${late}/adopt`, other)).toEqual({ deliver: 1, submit: 1 })
  })

  it('a batch that is cancelled has its slots given on, and its deliveries and that of its end enqueued', async () => {
    const batchId = await counting.batch()
    for (let n = 0; n < 2; n++) await counting.seed.queued({ batchId, webhookUrl: HOOK })
    expect(await following(200, `/v1/batches/${batchId}/cancel`)).toEqual({ deliver: 3, submit: 1 })
  })

  it('a page of a large change enqueues few deliveries', async () => {
    const batchId = await counting.batch()
    for (let n = 0; n < 3 * PER_SERVER; n++)
      await counting.seed.queued({ batchId, webhookUrl: `http://127.0.0.1:${1 + (n % 3)}/hook` })
    const followed = await following(200, `/v1/batches/${batchId}/cancel`)
    expect(followed).toEqual({ deliver: PER_PAGE + 1, submit: 1 })
  })

  it('the retry of a batch is admitted', async () => {
    const batchId = await counting.batch()
    await failed({ batchId })
    expect(await following(202, `/v1/batches/${batchId}/retry`)).toEqual({ submit: 2 })
  })

  it('changed limits, a pause and a resume of a project lead to admission', async () => {
    expect(await following(200, '/v1/project', { max_in_flight: 5 }, 'PATCH')).toEqual({ submit: 1 })
    expect(await following(200, '/v1/project/pause')).toEqual({ submit: 1 })
    const { database, projectId } = counting.seed
    await pauseProject(database, projectId, true)
    await counting.seed.queued()
    expect(await following(200, '/v1/project/resume')).toEqual({ submit: 2 })
  })

  it('submitting that an operator resumes leads to admission', async () => {
    await setPaused(counting.seed.database, 'globalai', true)
    expect(await following(200, '/admin/submitting/resume')).toEqual({ submit: 1 })
  })

  it('the test of an endpoint is enqueued', async () => {
    const id = await counting.endpoint(HOOK)
    expect(await following(202, `/v1/webhook_endpoints/${id}/test`)).toEqual({ deliver: 1 })
  })

  it('a delivery that is to be delivered again is enqueued', async () => {
    const id = await deliveryOf(await failed({ webhookUrl: HOOK }))
    await counting.seed.sql(`UPDATE deliveries SET wakes = 7`)
    expect(await following(202, `/v1/webhook_deliveries/${id}/redeliver`)).toEqual({ deliver: 1 })
  })

  it('of all that is to be delivered again to an endpoint, some are enqueued', async () => {
    const id = await counting.endpoint(HOOK)
    for (let n = 0; n <= PER_SERVER; n++) await failed()
    await counting.seed.sql(
      `UPDATE deliveries SET state = 'failed', next_attempt_at = NULL, due_at = NULL, finished_at = now()`,
    )
    const body = { since: '2000-01-01T00:00:00Z' }
    expect(await following(202, `/v1/webhook_endpoints/${id}/redeliver`, body)).toEqual({ deliver: PER_SERVER })
  })
})
