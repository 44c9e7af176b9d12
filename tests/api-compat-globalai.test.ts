// The routes in the provider's shape: requests of the provider's clients are accepted, and replies have exactly the
// provider's shape.
import { globalAiTaskJson } from '@reelqueue/contract/wire/compat/globalai'
import { cancelGeneration } from '@reelqueue/shared/store/lifecycle/cancellation'
import { describe, expect, it } from 'vitest'
import { countRows, generationOf, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { endGeneration, openSubmission, startGeneration, VIDEO_URL } from './support/endings.ts'

const { database, app, client } = await startApi()

function taskOf(reply: Reply) {
  expect(reply.status, reply.text).toBe(200)
  return globalAiTaskJson.strict().parse(JSON.parse(reply.text))
}

const create = async (fields: Record<string, unknown> = {}, headers = {}) =>
  taskOf(await client.post('/v1/sora/videos', { ...MINIMAL, ...fields }, headers))
const read = async (id: string) => taskOf(await client.get(`/v1/result/${id}`))

describe('POST /v1/sora/videos', () => {
  it('answers 200 in the shape of the provider, with unix seconds', async () => {
    const earliest = Math.floor(Date.now() / 1_000) - 1
    const task = await create()
    expect(task).toEqual({
      id: expect.stringMatching(/^gen_/),
      object: 'video.generation',
      created: task.created,
      model: MINIMAL.model,
      status: 'queued',
      video_url: null,
      actualDuration: null,
      error: null,
    })
    expect(task.created).toBeGreaterThanOrEqual(earliest)
    expect(task.created).toBeLessThanOrEqual(Date.now() / 1_000 + 1)
    expect(await read(task.id)).toEqual(task)
  })

  it('takes our fields too, and makes the same generation as our own route', async () => {
    const fields = {
      duration: 8,
      aspect_ratio: '16:9',
      webhook_url: 'https://hooks.example/',
      custom_id: 'c',
      priority: 3,
    }
    const { id } = await create({ ...fields, metadata: { a: 1 }, on_unknown_submission: 'resubmit' })
    expect(generationOf(await client.get(`/v1/generations/${id}`))).toMatchObject({
      seconds: 8,
      size: '1280x720',
      webhook_url: 'https://hooks.example/',
      custom_id: 'c',
      priority: 3,
      metadata: { a: 1 },
      on_unknown_submission: 'resubmit',
    })
  })

  it('ignores fields that neither side knows, as the provider does', async () => {
    const { id } = await create({ n: 1, user: 'someone', watermark: false })
    expect(generationOf(await client.get(`/v1/generations/${id}`))).toMatchObject(MINIMAL)
  })

  it('honours an Idempotency-Key', async () => {
    const headers = { 'idempotency-key': 'shaped' }
    const before = await countRows(database.url)
    const { id } = await create({ seconds: 8 }, headers)
    const replay = await client.post('/v1/sora/videos', { ...MINIMAL, duration: 8 }, headers)
    expect(replay.headers['idempotency-replayed']).toBe('true')
    expect(taskOf(replay).id).toBe(id)
    const other = await client.post('/v1/sora/videos', MINIMAL, headers)
    expect(other.status).toBe(409)
    expect(problemOf(other).code).toBe('idempotency_conflict')
    expect((await countRows(database.url)).generations).toBe(before.generations + 1)
  })
})

describe('GET /v1/result/{id}', () => {
  it('shows a generation being submitted as queued', async () => {
    const { id } = await create()
    await openSubmission(app.database, id)
    expect((await read(id)).status).toBe('queued')
  })

  it('shows a rendering one as processing', async () => {
    const { id } = await create()
    await startGeneration(app.database, id)
    expect(await read(id)).toMatchObject({ id, status: 'processing', video_url: null, error: null })
  })

  it('shows a completed one with video_url and actualDuration', async () => {
    const { id } = await create()
    await endGeneration(app.database, id, 'completed')
    expect(await read(id)).toMatchObject({
      status: 'completed',
      video_url: VIDEO_URL,
      actualDuration: 4.04,
      error: null,
    })
  })

  it('shows a failed one with its error as text', async () => {
    const { id } = await create()
    await endGeneration(app.database, id, 'failed')
    expect(await read(id)).toMatchObject({ status: 'failed', video_url: null, error: 'the provider said no' })
  })

  it('shows a cancelled one as failed, with the error cancelled', async () => {
    const { id } = await create()
    await cancelGeneration(app.database, id, 1_000)
    expect(await read(id)).toMatchObject({ status: 'failed', video_url: null, error: 'cancelled' })
  })

  it('reads generations of our own route and of batches too', async () => {
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL))
    expect((await read(id)).id).toBe(id)
  })
})
