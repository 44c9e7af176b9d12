// A batch as JSON Lines: read as a stream, accepted whole or not at all, with an error for each bad line.

import { once } from 'node:events'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import { batchJson } from '@reelqueue/contract/wire/batch'
import { generationJson } from '@reelqueue/contract/wire/generation'
import { beforeEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { countRows, MINIMAL, problemOf, type Reply, startApi } from './support/api.ts'
import { until } from './support/wait.ts'

const { database, app, client } = await startApi()
let before: Awaited<ReturnType<typeof countRows>>
beforeEach(async () => {
  before = await countRows(database.url)
})

const LINES = { 'content-type': 'application/x-ndjson' }
const MINIMAL_LINE = JSON.stringify(MINIMAL)
const post = (body: string | Buffer, query = '', headers: Record<string, string> = {}) =>
  client.post(`/v1/batches${query}`, body, { ...LINES, ...headers })

function batchOf(reply: Reply) {
  expect(reply.status, reply.text).toBe(202)
  return batchJson.strict().parse(JSON.parse(reply.text))
}

async function itemsOf(batchId: string) {
  const reply = await client.get(`/v1/generations?batch_id=${batchId}&limit=100`)
  return z
    .object({ data: z.array(generationJson) })
    .parse(JSON.parse(reply.text))
    .data.reverse()
}

function lines(count: number, lineOf: (number: number) => string): string {
  return Array.from({ length: count }, (_, index) => `${lineOf(index + 1)}\n`).join('')
}

/** Sends pieces as they come, without a Content-Length. */
async function upload(pieces: AsyncIterable<Buffer> | Iterable<Buffer>): Promise<Reply> {
  const outgoing = httpRequest(`${app.url}/v1/batches`, {
    method: 'POST',
    agent: false,
    headers: { ...LINES, authorization: `Bearer ${app.key}` },
  })
  Readable.from(pieces).pipe(outgoing)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

describe('JSON Lines', () => {
  it('become a batch in their order, with BOM, CRLF, blank lines and no end after the last', async () => {
    const body = `\uFEFF${lines(3, (n) => JSON.stringify({ ...MINIMAL, custom_id: `n${n}` })).replaceAll('\n', '\r\n\r\n')}${MINIMAL_LINE}`
    const batch = batchOf(await post(body))
    expect(batch).toMatchObject({ total: 4, counts: { queued: 4 } })
    expect((await itemsOf(batch.id)).map((item) => item.custom_id)).toEqual(['n1', 'n2', 'n3', null])
  })

  it.each(['x-ndjson', 'ndjson', 'jsonl', 'x-jsonl', 'jsonlines', 'x-jsonlines; charset=utf-8'])(
    'may be called application/%s',
    async (name) => {
      expect(batchOf(await post(MINIMAL_LINE, '', { 'content-type': `application/${name}` })).total).toBe(1)
    },
  )

  it('take defaults, webhook_url and metadata from the query', async () => {
    const query = new URLSearchParams({
      defaults: JSON.stringify({ ...MINIMAL, size: '1280x720', priority: 3 }),
      webhook_url: 'https://hooks.example/all',
      metadata: JSON.stringify({ order: 9 }),
    })
    const batch = batchOf(
      await post('{}\n{"aspect_ratio":"9:16","webhook_url":"https://hooks.example/one"}', `?${query}`),
    )
    expect(batch).toMatchObject({ webhook_url: 'https://hooks.example/all', metadata: { order: 9 } })
    expect(await itemsOf(batch.id)).toMatchObject([
      { size: '1280x720', priority: 3, webhook_url: 'https://hooks.example/all' },
      { size: '720x1280', priority: 3, webhook_url: 'https://hooks.example/one' },
    ])
  })

  it('are accepted by the fifty thousand', async () => {
    const batch = batchOf(await post(lines(50_000, (n) => JSON.stringify({ ...MINIMAL, custom_id: `many-${n}` }))))
    expect(batch.total).toBe(50_000)
    expect(batch.counts.queued).toBe(50_000)
    const reply = await post(lines(50_001, () => MINIMAL_LINE))
    expect(reply.status).toBe(413)
    expect(problemOf(reply).code).toBe('batch_too_large')
    expect(await countRows(database.url)).toMatchObject({
      batches: before.batches + 1,
      generations: before.generations + 50_000,
    })
  }, 120_000)

  it('are refused whole for line 37,001 of 50,000, which is named', async () => {
    const bad = JSON.stringify({ ...MINIMAL, seconds: 5 })
    const reply = await post(lines(50_000, (n) => (n === 37_001 ? bad : MINIMAL_LINE)))
    expect(reply.status).toBe(422)
    expect(problemOf(reply)).toMatchObject({ errors: [{ line: 37_001, field: 'seconds', rule: 'one_of' }], total: 1 })
    expect(await countRows(database.url)).toEqual(before)
  }, 120_000)

  it('name the first hundred wrong lines, and count the others', async () => {
    const reply = await post(lines(400, (n) => (n % 2 === 0 ? MINIMAL_LINE : '{"model":"openAiSora2Plus"}')))
    const { errors, total } = problemOf(reply)
    expect(total).toBe(200)
    expect(errors).toHaveLength(100)
    expect(errors?.[99]).toEqual({ line: 199, field: 'prompt', rule: 'required', allowed: 'string' })
    expect(await countRows(database.url)).toEqual(before)
  })

  const twice = JSON.stringify({ ...MINIMAL, custom_id: 'twice' })
  it.each([
    ['nothing', '', { field: 'body', rule: 'min_items' }],
    ['blank lines', '\n \r\n', { field: 'body', rule: 'min_items' }],
    ['a line that is no JSON', `${MINIMAL_LINE}\n{"model":\n`, { line: 2, field: 'body', rule: 'json' }],
    ['a line that is no object', `${MINIMAL_LINE}\n[]`, { line: 2, field: 'body', rule: 'type' }],
    [
      'an unsafe number',
      '{"metadata":{"a":12345678901234567890}}',
      { line: 1, field: 'metadata.a', rule: 'unsafe_number' },
    ],
    [
      'too many digits',
      '{"metadata":{"a":1.2345678901234567890}}',
      { line: 1, field: 'metadata.a', rule: 'unsafe_number' },
    ],
    [
      'a key that cannot be kept',
      '{"metadata":{"__proto__":1}}',
      { line: 1, field: 'metadata.__proto__', rule: 'reserved_key' },
    ],
    ['a blank prompt', '{"prompt":"\\u2800 "}', { line: 1, field: 'prompt', rule: 'blank' }],
    ['a private image', '{"image_urls":["http://[::1]/a"]}', { line: 1, field: 'image_urls.0', rule: 'private_host' }],
    [
      'another batch API',
      '{"custom_id":"a","method":"POST","url":"/v1/x","body":{"prompt":"x"}}',
      { line: 1, field: 'body', rule: 'flat_item' },
    ],
    ['an unknown field', '{"sise":1}', { line: 1, field: 'sise', rule: 'unknown_field' }],
    ['U+0000', '{"prompt":"\\u0000"}', { line: 1, field: 'prompt', rule: 'storable_text' }],
    ['bytes that are no UTF-8', Buffer.from('22ff220a', 'hex'), { line: 1, field: 'body', rule: 'utf8' }],
    ['a custom_id that was there before', `${twice}\n${twice}`, { line: 2, field: 'custom_id', rule: 'unique' }],
  ])('of %s are refused, and leave no row', async (_, body, error) => {
    const reply = await post(body)
    expect(reply.status).toBe(422)
    expect(problemOf(reply).errors).toContainEqual(expect.objectContaining(error))
    expect(await countRows(database.url)).toEqual(before)
  })

  it.each([
    ['defaults that are no JSON', 'defaults={', 'defaults', 'json'],
    ['an unknown default', 'defaults={"sise":1}', 'defaults.sise', 'unknown_field'],
    ['U+0000 in the metadata', 'metadata={"a":"\\u0000"}', 'metadata.a', 'storable_text'],
    ['an unsafe number', 'metadata={"a":[12345678901234567890]}', 'metadata.a.0', 'unsafe_number'],
    [
      'a number of too many digits',
      'defaults={"metadata":{"a":0.12345678901234567890}}',
      'defaults.metadata.a',
      'unsafe_number',
    ],
    ['a blank prompt', 'defaults={"prompt":"\\u200b"}', 'defaults.prompt', 'blank'],
    ['a private image', 'defaults={"image_urls":["http://10.0.0.1/a"]}', 'defaults.image_urls.0', 'private_host'],
    ['a wrong webhook_url', 'webhook_url=x', 'webhook_url', 'webhook_url_malformed'],
    ['an unknown name', 'webhook=x', 'webhook', 'unknown_field'],
  ])('with %s in the query are refused', async (_, query, field, rule) => {
    const reply = await post(MINIMAL_LINE, `?${encodeURI(query)}`)
    expect(reply.status, reply.text).toBe(422)
    expect(problemOf(reply).errors).toMatchObject([{ field, rule }])
  })

  it('beyond 200 MiB are refused once they have been sent, also without a declared length', async () => {
    const piece = Buffer.from(lines(1_000, () => JSON.stringify({ ...MINIMAL, metadata: { text: 'x'.repeat(4_000) } })))
    const count = Math.ceil((200 * 1024 * 1024) / piece.length) + 1
    const reply = await upload(Array<Buffer>(count).fill(piece))
    expect(reply.status).toBe(413)
    expect(problemOf(reply).code).toBe('body_too_large')
    expect(await countRows(database.url)).toEqual(before)
  }, 120_000)

  it('whose connection is cut half-way leave no row, and the API goes on', async () => {
    const outgoing = httpRequest(`${app.url}/v1/batches`, {
      method: 'POST',
      agent: false,
      headers: { ...LINES, authorization: `Bearer ${app.key}`, 'content-length': 100_000_000 },
    })
    outgoing.on('error', () => undefined)
    // More than the socket buffers hold, so the API must be reading.
    await new Promise((resolve) =>
      outgoing.write(
        lines(250_000, () => MINIMAL_LINE),
        resolve,
      ),
    )
    outgoing.destroy()
    const isGivenUp = async () => (await app.logLines()).some((line) => line.event === 'upload.cut_off')
    await until('the API has given the upload up', isGivenUp)
    expect(await countRows(database.url)).toEqual(before)
    expect((await post(MINIMAL_LINE)).status).toBe(202)
  })

  it('sent again under their Idempotency-Key are the same batch; other bytes are a conflict', async () => {
    const key = { 'idempotency-key': 'lines' }
    const first = await post(MINIMAL_LINE, '', key)
    const again = await post(MINIMAL_LINE, '', key)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(batchOf(again).id).toBe(batchOf(first).id)
    for (const [body, query] of [
      [`${MINIMAL_LINE}\n`, ''],
      [MINIMAL_LINE, '?webhook_url=https://hooks.example/'],
    ] as const) {
      expect(problemOf(await post(body, query, key)).code).toBe('idempotency_conflict')
    }
    expect((await client.post('/v1/batches', { items: [MINIMAL] }, key)).status).toBe(409)
  })

  it('and documents may come compressed; what is broken or in another coding is said to be so', async () => {
    const packed = { 'content-encoding': 'gzip' }
    expect(batchOf(await post(gzipSync(lines(3_000, () => MINIMAL_LINE)), '', packed)).total).toBe(3_000)
    const json = { 'content-type': 'application/json', ...packed }
    expect((await client.post('/v1/batches', gzipSync(JSON.stringify({ items: [MINIMAL] })), json)).status).toBe(202)
    expect((await client.post('/v1/generations', gzipSync(MINIMAL_LINE), json)).status).toBe(202)
    const broken = [
      await post(MINIMAL_LINE, '', packed),
      await post(gzipSync(MINIMAL_LINE).subarray(0, 30), '', packed),
      await client.post('/v1/generations', MINIMAL_LINE, json),
    ]
    expect(broken.map((reply) => problemOf(reply).code)).toEqual(Array(3).fill('malformed_request'))
    const bomb = await client.post('/v1/generations', gzipSync(Buffer.alloc(5_000_000, ' ')), json)
    expect(problemOf(bomb).code).toBe('body_too_large')
    const other = await post(MINIMAL_LINE, '', { 'content-encoding': 'br' })
    expect(problemOf(other)).toMatchObject({ code: 'unsupported_media_type', detail: expect.stringContaining('gzip') })
    expect(other.headers['accept-post']).toMatch(/^application\/json, application\/x-ndjson/)
  })

  it('make one batch of five uploads at once', async () => {
    const key = { 'idempotency-key': 'lines at once' }
    const replies = await Promise.all(
      Array.from({ length: 5 }, () =>
        post(
          lines(500, () => MINIMAL_LINE),
          '',
          key,
        ),
      ),
    )
    expect(new Set(replies.map((reply) => batchOf(reply).id)).size).toBe(1)
    expect((await countRows(database.url)).generations).toBe(before.generations + 500)
  })

  it('are an unknown type elsewhere, and their query is none of a JSON document', async () => {
    expect((await client.post('/v1/generations', MINIMAL_LINE, LINES)).status).toBe(415)
    const reply = await client.post('/v1/batches?webhook_url=https://hooks.example/', { items: [MINIMAL] })
    expect(problemOf(reply).errors).toMatchObject([{ field: 'webhook_url', rule: 'lines_only' }])
  })
})
