// Bodies made to be expensive: each body once blocked the API for seconds, took gigabytes or ended the process. Now
// each body is refused early, with a single error. The speed is measured by hand, not here.
import { beforeEach, describe, expect, it } from 'vitest'
import { countRows, MINIMAL, problemOf, startApi } from './support/api.ts'

const { database, client } = await startApi()
let before: Awaited<ReturnType<typeof countRows>>

beforeEach(async () => {
  before = await countRows(database.url)
})

async function expectNothingWritten(): Promise<void> {
  expect(await countRows(database.url)).toEqual(before)
}

function unknownFields(count: number): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`field_${index}`, 1]))
}

const FIELDS: [title: string, fields: Record<string, unknown>, field: string, rule: string, allowed: unknown][] = [
  ['101 fields', unknownFields(101), '', 'max_keys', 100],
  ['40,000 fields', unknownFields(40_000), '', 'max_keys', 100],
  ['40,000 fields in an unknown one', { x: { y: unknownFields(40_000) } }, 'x.y', 'max_keys', 100],
  ['200,000 images', { input_reference: Array(200_000).fill('') }, 'input_reference', 'max_items', 1],
  ['200,000 images of no kind', { image_urls: Array(200_000).fill(0) }, 'image_urls', 'max_items', 1],
  ['an image URL of 900 KB', { image_urls: ['x'.repeat(900_000)] }, 'image_urls.0', 'max_length', 8_192],
  ['metadata of 40,000 keys', { metadata: unknownFields(40_000) }, 'metadata', 'max_bytes', 16_384],
  ['metadata of 200,000 elements', { metadata: { a: Array(200_000).fill({}) } }, 'metadata', 'max_bytes', 16_384],
]

describe('a generation made to be expensive', () => {
  it.each(FIELDS)('%s is refused with one error', async (_title, fields, field, rule, allowed) => {
    for (const path of ['/v1/generations', '/v1/sora/videos']) {
      const reply = await client.post(path, { ...MINIMAL, ...fields })
      expect(reply.status).toBe(422)
      const { code, errors, total } = problemOf(reply)
      expect([code, total]).toEqual(['validation_failed', 1])
      expect(errors).toEqual([{ field: field || 'body', rule, allowed }])
    }
    await expectNothingWritten()
  })

  it.each([
    ['as an unknown field', 'k'.repeat(900_000), 1],
    ['above bad text', 'k'.repeat(900_000), ['\0', '\0']],
  ])('a key of 900 KB %s is named in short', async (_title, key, value) => {
    const { errors } = problemOf(await client.post('/v1/generations', { ...MINIMAL, [key]: value }))
    for (const error of errors ?? []) expect(error.field).toMatch(/^k{100}…(\.[01])?$/)
    expect(errors).toHaveLength(Array.isArray(value) ? 3 : 1)
  })

  it('metadata may have more than 100 keys: only its bytes count', async () => {
    const metadata = unknownFields(900)
    const reply = await client.post('/v1/generations', { ...MINIMAL, metadata })
    expect(reply.status).toBe(202)
    expect(JSON.parse(reply.text).metadata).toEqual(metadata)
  })
})

describe('a batch made to be expensive', () => {
  // A little less than 1 MiB each: the largest frame, and the largest item.
  it.each([
    [
      '150,000 images',
      { items: [{ ...MINIMAL, image_urls: Array(150_000).fill('.,.') }] },
      'items.0.image_urls',
      'max_items',
    ],
    [
      'default images without end',
      { defaults: { image_urls: Array(150_000).fill('.,.') }, items: [{}] },
      'defaults.image_urls',
      'max_items',
    ],
    ['fields without end', { items: [MINIMAL], ...unknownFields(60_000) }, 'body', 'max_keys'],
    ['default fields without end', { items: [MINIMAL], defaults: unknownFields(60_000) }, 'defaults', 'max_keys'],
    ['metadata without end', { items: [MINIMAL], metadata: unknownFields(60_000) }, 'metadata', 'max_bytes'],
    [
      "an item's metadata without end",
      { items: [{ ...MINIMAL, metadata: { a: Array(150_000).fill('.,.') } }] },
      'items.0.metadata',
      'max_bytes',
    ],
  ])('refuses %s with one error', async (_title, body, field, rule) => {
    const reply = await client.post('/v1/batches', body)
    expect(reply.status).toBe(422)
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [{ field, rule }], total: 1 })
    await expectNothingWritten()
  })

  it('counts every wrong field of a thousand items that are wrong all over', async () => {
    const crowded = await client.post('/v1/batches', { items: Array(1_000).fill(unknownFields(400)) })
    const full = await client.post('/v1/batches', { items: Array(1_000).fill(unknownFields(100)) })
    expect([problemOf(crowded).total, problemOf(full).total]).toEqual([1_000, 102_000])
    for (const reply of [crowded, full]) expect(problemOf(reply).errors).toHaveLength(100)
  })

  it('repeats a key of 900 KB in no error', async () => {
    const item = { ...MINIMAL, ['k'.repeat(900_000)]: Array(150).fill('\0') }
    const { errors, total } = problemOf(await client.post('/v1/batches', { items: [item] }))
    expect([errors?.length, errors?.[0]?.field, total]).toEqual([100, `items.0.${'k'.repeat(100)}….0`, 151])
    await expectNothingWritten()
  })

  it('refuses an item of more than 1 MiB without a look into it, and names it', async () => {
    const item = { ...MINIMAL, image_urls: Array(900_000).fill('.,.') }
    const reply = await client.post('/v1/batches', { items: [MINIMAL, item] })
    expect(reply.status).toBe(422)
    const error = { field: 'items.1', line: 2, rule: 'max_bytes', allowed: 1024 * 1024 }
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [error], total: 1 })
    await expectNothingWritten()
  })

  it.each([
    ['fields', { items: [MINIMAL], ...unknownFields(400_000) }],
    ['defaults', { defaults: { image_urls: Array(900_000).fill('.,.') }, items: [{}] }],
    ['metadata', { items: [MINIMAL], metadata: { a: 'x'.repeat(2_000_000) } }],
  ])('refuses more than 1 MiB of %s beside its items', async (_title, body) => {
    const reply = await client.post('/v1/batches', body)
    expect([reply.status, problemOf(reply).code]).toEqual([413, 'body_too_large'])
    await expectNothingWritten()
  })
})
