// Accepting a generation: every spelling of the same request, and the guarantees of Idempotency-Key.
import { describe, expect, it } from 'vitest'
import { clientOfNewProject, countRows, generationOf, MINIMAL, problemOf, startApi } from './support/api.ts'

const { database, app, client } = await startApi()

/** The reply to the smallest request: absent fields are null or have the documented default. */
const DEFAULTS = {
  ...MINIMAL,
  object: 'video.generation',
  status: 'queued',
  size: null,
  seconds: null,
  input_reference: null,
  batch_id: null,
  custom_id: null,
  metadata: null,
  webhook_url: null,
  priority: 0,
  on_unknown_submission: 'fail',
  video_url: null,
  video_url_expires_at: null,
  actual_duration: null,
  error: null,
  upstream_task_id: null,
  attempt: 1,
  may_be_charged: false,
  cancel_requested_at: null,
  submitted_at: null,
  finished_at: null,
}

const EVERYTHING = {
  ...MINIMAL,
  model: 'openAiSora2Pro',
  size: '1280x720',
  seconds: 12,
  input_reference: ['https://images.example/a.png'],
  webhook_url: 'https://hooks.example/reel?a=b',
  custom_id: 'order-17',
  metadata: { deep: { list: [1, 'två', null, true], emoji: '🦊' }, '': 'an empty name' },
  priority: -100,
  on_unknown_submission: 'resubmit',
}
const IMAGE = 'https://images.example/a.png'
const NO_VALUES = Object.fromEntries(
  Object.keys(EVERYTHING)
    .filter((field) => !(field in MINIMAL))
    .map((field) => [field, null]),
)

const ACCEPTED: [title: string, fields: Record<string, unknown>, expected: Record<string, unknown>][] = [
  ['the smallest request', {}, {}],
  ['every field', EVERYTHING, EVERYTHING],
  ['null for every optional field', { ...NO_VALUES, aspect_ratio: null, duration: null, image_urls: null }, {}],
  ['size portrait', { size: '720x1280' }, { size: '720x1280' }],
  ['aspect_ratio 16:9 as a size', { aspect_ratio: '16:9' }, { size: '1280x720' }],
  ['aspect_ratio 9:16 as a size', { aspect_ratio: '9:16' }, { size: '720x1280' }],
  ['duration as seconds', { duration: 8 }, { seconds: 8 }],
  ['image_urls as input_reference', { image_urls: [IMAGE] }, { input_reference: [IMAGE] }],
  [
    'one of a pair beside a null',
    { size: null, aspect_ratio: '16:9', seconds: 4, duration: null },
    { size: '1280x720', seconds: 4 },
  ],
  ['the highest priority', { priority: 100 }, { priority: 100 }],
  ['an empty metadata object', { metadata: {} }, { metadata: {} }],
  ['a prompt of one character', { prompt: 'x' }, { prompt: 'x' }],
  ['a prompt of 32,000 characters', { prompt: 'x'.repeat(32_000) }, { prompt: 'x'.repeat(32_000) }],
  [
    'a prompt of 32,000 emoji, counted as code points',
    { prompt: '🦊'.repeat(32_000) },
    { prompt: '🦊'.repeat(32_000) },
  ],
  ['a custom_id of 256 characters', { custom_id: 'c'.repeat(256) }, { custom_id: 'c'.repeat(256) }],
]

describe('POST /v1/generations', () => {
  it.each(ACCEPTED)('accepts %s and replies in normal form', async (_title, fields, expected) => {
    const reply = await client.post('/v1/generations', { ...MINIMAL, ...fields })
    expect(reply.status, reply.text).toBe(202)
    const generation = generationOf(reply)
    expect(generation).toEqual({
      ...DEFAULTS,
      ...expected,
      id: expect.stringMatching(/^gen_[0-9a-hjkmnp-tv-z]{26}$/),
      created_at: generation.created_at,
    })
    const read = generationOf(await client.get(`/v1/generations/${generation.id}`))
    expect(read).toEqual({ ...generation, queue: read.queue, estimated_completion_at: null })
    expect(read.queue?.position).toBeGreaterThan(0)
  })

  it('has written the row and its first event when it answers', async () => {
    const before = await countRows(database.url)
    await client.post('/v1/generations', MINIMAL)
    const after = await countRows(database.url)
    expect(after).toEqual({ ...before, generations: before.generations + 1, events: before.events + 1 })
  })

  it('takes JSON with a charset and a key in any case of its scheme', async () => {
    const headers = { 'content-type': 'application/json; charset=utf-8', authorization: `bearer ${app.key}` }
    expect((await client.post('/v1/generations', JSON.stringify(MINIMAL), headers)).status).toBe(202)
  })
})

describe('Idempotency-Key', () => {
  const keyed = (key: string) => ({ 'idempotency-key': key })

  it('gives the same generation for the same request, and says that it is a replay', async () => {
    const first = await client.post('/v1/generations', MINIMAL, keyed('same'))
    const second = await client.post('/v1/generations', MINIMAL, keyed('same'))
    expect([first.status, second.status]).toEqual([202, 202])
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect(generationOf(second)).toEqual(generationOf(first))
  })

  it('counts a request that says the same in other words as the same', async () => {
    const one = { ...MINIMAL, size: '1280x720', seconds: 8, input_reference: [IMAGE], metadata: { a: 1, b: 2 } }
    const other = {
      image_urls: [IMAGE],
      duration: 8,
      aspect_ratio: '16:9',
      priority: 0,
      custom_id: null,
      ...MINIMAL,
      metadata: { b: 2, a: 1 },
    }
    const first = await client.post('/v1/generations', one, keyed('alias'))
    const second = await client.post('/v1/generations', other, keyed('alias'))
    expect(second.headers['idempotency-replayed']).toBe('true')
    expect(generationOf(second).id).toBe(generationOf(first).id)
  })

  it('refuses the key for another request and writes nothing', async () => {
    await client.post('/v1/generations', MINIMAL, keyed('conflict'))
    const before = await countRows(database.url)
    const reply = await client.post('/v1/generations', { ...MINIMAL, seconds: 4 }, keyed('conflict'))
    expect(reply.status).toBe(409)
    expect(problemOf(reply).code).toBe('idempotency_conflict')
    expect(await countRows(database.url)).toEqual(before)
  })

  it('makes one generation of twenty requests at once', async () => {
    const before = await countRows(database.url)
    const replies = await Promise.all(
      Array.from({ length: 20 }, () => client.post('/v1/generations', MINIMAL, keyed('at-once'))),
    )
    expect(replies.map((reply) => reply.status)).toEqual(Array(20).fill(202))
    expect(new Set(replies.map((reply) => generationOf(reply).id)).size).toBe(1)
    expect(replies.filter((reply) => reply.headers['idempotency-replayed'] === undefined)).toHaveLength(1)
    const after = await countRows(database.url)
    expect(after).toEqual({ ...before, generations: before.generations + 1, events: before.events + 1 })
  })

  it('lets exactly one of two different requests at once have the key', async () => {
    const replies = await Promise.all(
      [4, 8, 4, 8].map((seconds) => client.post('/v1/generations', { ...MINIMAL, seconds }, keyed('race'))),
    )
    expect(replies.map((reply) => reply.status).sort()).toEqual([202, 202, 409, 409])
  })

  it("is another project's own", async () => {
    const other = await clientOfNewProject(app, 'other')
    const mine = await client.post('/v1/generations', MINIMAL, keyed('shared'))
    const theirs = await other.post('/v1/generations', { ...MINIMAL, seconds: 12 }, keyed('shared'))
    expect(theirs.status).toBe(202)
    expect(theirs.headers['idempotency-replayed']).toBeUndefined()
    expect(generationOf(theirs).id).not.toBe(generationOf(mine).id)
  })

  it('replays the present state, not the past one', async () => {
    const { id } = generationOf(await client.post('/v1/generations', MINIMAL, keyed('present')))
    await client.post(`/v1/generations/${id}/cancel`)
    const replay = await client.post('/v1/generations', MINIMAL, keyed('present'))
    expect(replay.status).toBe(202)
    expect(generationOf(replay)).toMatchObject({ id, status: 'cancelled' })
  })

  it('belongs to its route: the same request at another address is another request', async () => {
    await client.post('/v1/generations', MINIMAL, keyed('route'))
    const reply = await client.post('/v1/sora/videos', MINIMAL, keyed('route'))
    expect(reply.status).toBe(409)
    expect(problemOf(reply).code).toBe('idempotency_conflict')
  })

  it('is not used up by a refusal', async () => {
    const refused = await client.post('/v1/generations', { ...MINIMAL, seconds: 5 }, keyed('refused'))
    expect(refused.status).toBe(422)
    const accepted = await client.post('/v1/generations', { ...MINIMAL, seconds: 4 }, keyed('refused'))
    expect(accepted.status).toBe(202)
    expect(accepted.headers['idempotency-replayed']).toBeUndefined()
  })

  it('makes a new generation each time when there is none', async () => {
    const ids = new Set<string>()
    for (const reply of await Promise.all([1, 2, 3].map(() => client.post('/v1/generations', MINIMAL))))
      ids.add(generationOf(reply).id)
    expect(ids.size).toBe(3)
  })

  it.each([
    ['that is empty', '', 'min_length', 1],
    ['of 256 characters', 'k'.repeat(256), 'max_length', 255],
  ])('%s is refused, and nothing is written', async (_title, key, rule, allowed) => {
    const before = await countRows(database.url)
    for (const [path, body] of [
      ['/v1/generations', MINIMAL],
      ['/v1/sora/videos', MINIMAL],
      ['/v1/batches', { items: [MINIMAL] }],
    ] as const) {
      const reply = await client.post(path, body, keyed(key))
      expect(reply.status).toBe(422)
      expect(problemOf(reply).errors).toEqual([{ field: 'idempotency-key', rule, allowed }])
    }
    expect(await countRows(database.url)).toEqual(before)
  })
})

it('an image URL is kept, compared and answered in its parsed form; what is made has a Location', async () => {
  const key = { 'idempotency-key': 'parsed' }
  const post = (url: string) => client.post('/v1/generations', { ...MINIMAL, input_reference: [url] }, key)
  const first = await post('\thttps://Images.Example/a b.png\r\n')
  expect(generationOf(first).input_reference).toEqual(['https://images.example/a%20b.png'])
  expect(first.headers.location).toBe(`/v1/generations/${generationOf(first).id}`)
  const again = await post('https://images.example/a%20b.png')
  expect(again.headers['idempotency-replayed']).toBe('true')
  const long = `https://s3.example/k?X-Amz-Signature=${'a'.repeat(8_000)}`
  expect(
    generationOf(await client.post('/v1/generations', { ...MINIMAL, image_urls: [long] })).input_reference,
  ).toEqual([long])
})
