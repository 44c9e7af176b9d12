// Batches: accepted completely or not at all, completed by the batch's defaults, and counted correctly.
import { batchJson } from '@reelqueue/contract/wire/batch'
import { generationJson } from '@reelqueue/contract/wire/generation'
import { beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { clientOfNewProject, countRows, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { endGeneration } from './support/endings.ts'
import { startTestApp } from './support/test-app.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi()
let before: Awaited<ReturnType<typeof countRows>>

beforeEach(async () => {
  before = await countRows(database.url)
})

function batchOf(reply: Reply) {
  return batchJson.strict().parse(JSON.parse(reply.text))
}

const page = z.strictObject({ data: z.array(generationJson.strict()), next_cursor: z.string().nullable() })

/** The batch's generations in the order of its items. */
async function itemsOf(batchId: string) {
  const reply = await client.get(`/v1/generations?batch_id=${batchId}&limit=100`)
  return page.parse(JSON.parse(reply.text)).data.reverse()
}

async function accept(body: unknown) {
  const reply = await client.post('/v1/batches', body)
  expect(reply.status, reply.text).toBe(202)
  return batchOf(reply)
}

const NONE = { queued: 0, submitting: 0, processing: 0, completed: 0, failed: 0, cancelled: 0 }

describe('POST /v1/batches', () => {
  it('accepts the smallest batch', async () => {
    const batch = await accept({ items: [MINIMAL] })
    expect(batch).toEqual({
      id: expect.stringMatching(/^batch_[0-9a-hjkmnp-tv-z]{26}$/),
      object: 'batch',
      status: 'in_progress',
      parent_batch_id: null,
      total: 1,
      counts: { ...NONE, queued: 1 },
      webhook_url: null,
      metadata: null,
      created_at: batch.created_at,
      completed_at: null,
    })
    // There is no data about clips of this profile yet.
    const estimate = { ends_at: null, amount: null }
    expect(batchOf(await client.get(`/v1/batches/${batch.id}`))).toEqual({ ...batch, estimate })
    expect(await itemsOf(batch.id)).toMatchObject([{ ...MINIMAL, batch_id: batch.id, status: 'queued' }])
  })

  it('completes items by the defaults, and lets an item override each by any of its names', async () => {
    const defaults = {
      model: 'openAiSora2Pro',
      prompt: 'by default',
      size: '1280x720',
      duration: 8,
      input_reference: ['https://images.example/default.png'],
      metadata: { from: 'defaults' },
      priority: 7,
      on_unknown_submission: 'resubmit',
      webhook_url: 'https://hooks.example/defaults',
    }
    const own = {
      model: 'openAiSora2Plus',
      prompt: 'its own',
      aspect_ratio: '9:16',
      seconds: 4,
      image_urls: ['https://images.example/own.png'],
      metadata: { from: 'item' },
      priority: -7,
      on_unknown_submission: 'fail',
      webhook_url: 'https://hooks.example/item',
    }
    const { id } = await accept({ defaults, items: [{}, own, { size: '720x1280', duration: 12 }] })
    const inherited = {
      model: 'openAiSora2Pro',
      prompt: 'by default',
      size: '1280x720',
      seconds: 8,
      input_reference: ['https://images.example/default.png'],
      metadata: { from: 'defaults' },
      priority: 7,
      on_unknown_submission: 'resubmit',
      webhook_url: 'https://hooks.example/defaults',
    }
    expect(await itemsOf(id)).toMatchObject([
      inherited,
      {
        model: 'openAiSora2Plus',
        prompt: 'its own',
        size: '720x1280',
        seconds: 4,
        input_reference: ['https://images.example/own.png'],
        metadata: { from: 'item' },
        priority: -7,
        on_unknown_submission: 'fail',
        webhook_url: 'https://hooks.example/item',
      },
      { ...inherited, size: '720x1280', seconds: 12 },
    ])
  })

  it('hands its webhook_url down to items that have none, and keeps its own', async () => {
    const hook = 'https://hooks.example/batch'
    const items = [MINIMAL, { ...MINIMAL, webhook_url: 'https://hooks.example/item' }]
    const batch = await accept({ webhook_url: hook, metadata: { order: 9 }, items })
    expect(batch).toMatchObject({ webhook_url: hook, metadata: { order: 9 } })
    expect((await itemsOf(batch.id)).map((item) => item.webhook_url)).toEqual([hook, 'https://hooks.example/item'])
  })

  it('accepts 1,000 items and counts them all', async () => {
    const items = Array.from({ length: 1_000 }, (_, index) => ({ ...MINIMAL, custom_id: `of-many-${index}` }))
    const batch = await accept({ items })
    expect(batch).toMatchObject({ total: 1_000, counts: { ...NONE, queued: 1_000 } })
    expect(await countRows(database.url)).toEqual({
      ...before,
      batches: before.batches + 1,
      generations: before.generations + 1_000,
      events: before.events + 1_000,
    })
  })

  it.each([
    ['50,001 items', { items: Array(50_001).fill(MINIMAL) }, 'batch_too_large'],
    ['400,000 items', `{"items":[${'{},'.repeat(400_000)}{}]}`, 'batch_too_large'],
    ['ten million items', `{"items":[${'1,'.repeat(10_000_000)}1]}`, 'body_too_large'],
    ['two million lists', `{"items":[${'[],'.repeat(2_000_000)}[]]}`, 'body_too_large'],
    ['a million fields', `{${Array.from({ length: 1_000_001 }, (_, index) => `"${index}":0`)}}`, 'body_too_large'],
  ])('refuses %s without falling over', async (_title, body, code) => {
    const reply = await client.post('/v1/batches', body, { 'content-type': 'application/json' })
    expect(reply.status).toBe(413)
    expect(problemOf(reply).code).toBe(code)
    expect(await countRows(database.url)).toEqual(before)
  })

  it('accepts 32,000 characters in each of 1,000 prompts, and counts no values inside strings', async () => {
    const prompt = '",[{\\'.repeat(6_400)
    await accept({ items: Array(250).fill({ ...MINIMAL, prompt }) })
    const body = { items: Array(1_000).fill({ ...MINIMAL, prompt: 'x'.repeat(32_000), size: '720x1280', seconds: 8 }) }
    expect((await accept(body)).total).toBe(1_000)
  })

  it('names each wrong field with its line, and writes nothing of the good ones', async () => {
    const items = [MINIMAL, { ...MINIMAL, seconds: 5 }, MINIMAL, { prompt: '' }, 'no object', { ...MINIMAL, sise: 1 }]
    const reply = await client.post('/v1/batches', { items })
    expect(reply.status).toBe(422)
    const { code, errors, total } = problemOf(reply)
    expect(code).toBe('validation_failed')
    expect(errors?.map(({ field, rule, line }) => [line, field, rule])).toEqual([
      [2, 'items.1.seconds', 'one_of'],
      [4, 'items.3.model', 'required'],
      [4, 'items.3.prompt', 'min_length'],
      [5, 'items.4', 'type'],
      [6, 'items.5.sise', 'unknown_field'],
    ])
    expect(total).toBe(5)
    expect(await countRows(database.url)).toEqual(before)
  })

  it('lists a hundred errors and counts the others', async () => {
    const { errors, total } = problemOf(await client.post('/v1/batches', { items: Array(300).fill({ prompt: '' }) }))
    expect(errors).toHaveLength(100)
    expect(total).toBe(600)
  })

  it('refuses a custom_id that stands twice, also when it comes from the defaults', async () => {
    const twice = await client.post('/v1/batches', {
      items: ['a', 'b', 'a'].map((custom_id) => ({ ...MINIMAL, custom_id })),
    })
    expect(twice.status).toBe(422)
    expect(problemOf(twice).errors).toEqual([
      { field: 'items.2.custom_id', rule: 'unique', allowed: expect.anything(), line: 3 },
    ])
    const byDefault = await client.post('/v1/batches', { defaults: { custom_id: 'a' }, items: [MINIMAL, MINIMAL] })
    expect(problemOf(byDefault).errors).toMatchObject([{ field: 'items.1.custom_id', line: 2 }])
    expect(await countRows(database.url)).toEqual(before)
  })

  it.each([
    ['no items', {}, 'items', 'required'],
    ['an empty list', { items: [] }, 'items', 'min_items'],
    ['items that are no list', { items: MINIMAL }, 'items', 'type'],
    ['an unknown field', { items: [MINIMAL], defaultz: {} }, 'defaultz', 'unknown_field'],
    ['an unknown default', { items: [MINIMAL], defaults: { sise: 1 } }, 'defaults.sise', 'unknown_field'],
    ['a wrong default', { items: [MINIMAL], defaults: { seconds: '8' } }, 'defaults.seconds', 'type'],
    ['a wrong webhook URL', { items: [MINIMAL], webhook_url: 'x' }, 'webhook_url', 'webhook_url_malformed'],
    ['metadata that is no object', { items: [MINIMAL], metadata: [] }, 'metadata', 'type'],
    ['U+0000 in its metadata', { items: [MINIMAL], metadata: { a: '\0' } }, 'metadata.a', 'storable_text'],
    ['U+0000 in the defaults', { items: [MINIMAL], defaults: { prompt: '\0' } }, 'defaults.prompt', 'storable_text'],
  ])('refuses %s', async (_title, body, field, rule) => {
    const reply = await client.post('/v1/batches', body)
    expect(reply.status).toBe(422)
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [{ field, rule }], total: 1 })
    expect(await countRows(database.url)).toEqual(before)
  })
})

describe('Idempotency-Key of a batch', () => {
  const headers = (key: string) => ({ 'idempotency-key': key })

  it('gives the same batch for the same request, and refuses another', async () => {
    const first = await client.post('/v1/batches', { items: [{ ...MINIMAL, seconds: 8 }] }, headers('same'))
    const again = await client.post('/v1/batches', { items: [{ ...MINIMAL, duration: 8 }] }, headers('same'))
    expect([first.status, again.status]).toEqual([202, 202])
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(batchOf(again)).toEqual(batchOf(first))
    const other = await client.post('/v1/batches', { items: [MINIMAL] }, headers('same'))
    expect(other.status).toBe(409)
    expect(problemOf(other).code).toBe('idempotency_conflict')
    expect((await countRows(database.url)).batches).toBe(before.batches + 1)
  })

  it('makes one batch of ten requests at once', async () => {
    const body = { items: [MINIMAL, MINIMAL] }
    const replies = await Promise.all(
      Array.from({ length: 10 }, () => client.post('/v1/batches', body, headers('at once'))),
    )
    expect(new Set(replies.map((reply) => batchOf(reply).id)).size).toBe(1)
    const after = await countRows(database.url)
    expect(after.batches).toBe(before.batches + 1)
    expect(after.generations).toBe(before.generations + 2)
  })
})

describe('GET /v1/batches', () => {
  it('counts by status, and the counts add up to the total', async () => {
    const { id } = await accept({ items: Array(4).fill(MINIMAL) })
    const [first, second, third] = await itemsOf(id)
    await endGeneration(app.database, first?.id ?? '', 'completed')
    await endGeneration(app.database, second?.id ?? '', 'failed')
    await client.post(`/v1/generations/${third?.id}/cancel`)
    const batch = batchOf(await client.get(`/v1/batches/${id}`))
    expect(batch.counts).toEqual({ ...NONE, queued: 1, completed: 1, failed: 1, cancelled: 1 })
    expect(Object.values(batch.counts).reduce((sum, count) => sum + count)).toBe(batch.total)
    expect(batch.completed_at).toBeNull()
  })

  it('shows the same in the list, newest first, page by page', async () => {
    const mine = await clientOfNewProject(app, 'lists batches')
    const made: unknown[] = []
    for (let index = 0; index < 5; index++)
      made.unshift(batchOf(await mine.post('/v1/batches', { items: [MINIMAL], metadata: { index } })))
    const listed: unknown[] = []
    let cursor = ''
    do {
      const reply = await mine.get(`/v1/batches?limit=2${cursor}`)
      const { data, next_cursor } = z
        .strictObject({ data: z.array(batchJson.strict()), next_cursor: z.string().nullable() })
        .parse(JSON.parse(reply.text))
      listed.push(...data)
      cursor = next_cursor === null ? '' : `&cursor=${next_cursor}`
    } while (cursor !== '')
    expect(listed).toEqual(made)
  })

  it("does not know another project's batch", async () => {
    const { id } = await accept({ items: [MINIMAL] })
    const other = await clientOfNewProject(app, 'curious')
    const reply = await other.get(`/v1/batches/${id}`)
    expect(reply.status).toBe(404)
    expect(problemOf(reply).code).toBe('not_found')
    expect(JSON.parse((await other.get('/v1/batches')).text)).toEqual({ data: [], next_cursor: null })
    expect(JSON.parse((await other.get(`/v1/generations?batch_id=${id}`)).text).data).toEqual([])
  })

  it('is complete, with its event and one delivery, once its last generation has ended', async () => {
    const worker = await startTestApp({
      databaseUrl: database.url,
      worker: true,
      env: { RECONCILE_INTERVAL_MS: '100' },
    })
    try {
      const { id } = await accept({ items: [MINIMAL, MINIMAL], webhook_url: 'https://hooks.invalid/batch' })
      for (const item of await itemsOf(id)) await client.post(`/v1/generations/${item.id}/cancel`)
      const read = async () => batchOf(await client.get(`/v1/batches/${id}`))
      await until('the batch is complete', async () => (await read()).completed_at !== null)
      expect(await read()).toMatchObject({ status: 'completed', counts: { ...NONE, cancelled: 2 } })
      const events = await app.database.prisma.event.findMany({
        where: { batchId: id },
        include: { deliveries: true },
      })
      expect(events.map((event) => [event.type, event.sequence, event.deliveries.length])).toEqual([
        ['batch.completed', 1, 1],
      ])
    } finally {
      await worker.close()
    }
  })
})

it('a batch replayed under its Idempotency-Key is answered once: the log has no error, and no query', async () => {
  const query = new URLSearchParams({ defaults: JSON.stringify({ ...MINIMAL, prompt: 'a secret prompt' }) })
  const post = () =>
    client.post(`/v1/batches?${query}`, '{}', { 'content-type': 'application/ndjson', 'idempotency-key': 'replayed' })
  const [first, again] = [await post(), await post()]
  expect(JSON.parse(again.text)).toEqual(JSON.parse(first.text))
  expect(JSON.parse(again.text).status).toBe('in_progress')
  expect(again.headers.location).toBe(`/v1/batches/${JSON.parse(first.text).id}`)
  await client.get(`/v1/nothing?${query}`)
  await client.post(`/v1/project?${query}`)
  const lines = await app.logLines()
  expect(lines.filter((line) => Number(line.level) >= 40)).toEqual([])
  expect(JSON.stringify(lines)).not.toMatch(/secret|defaults=/)
})
