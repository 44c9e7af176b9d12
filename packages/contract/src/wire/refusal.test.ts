import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { isKeptNumber } from '../text/json-numbers.ts'
import { generationRequest } from './generation-request.ts'
import { fieldErrors, findUnstorableText } from './refusal.ts'

const VALID = { model: 'openAiSora2Plus', prompt: 'a fox' }

function errorsOf(body: unknown, prefix?: readonly PropertyKey[]) {
  const parsed = generationRequest.safeParse(body)
  return parsed.success ? [] : fieldErrors(parsed.error.issues, prefix)
}

describe('fieldErrors', () => {
  it.each([
    [{ model: undefined }, { field: 'model', rule: 'required', allowed: 'string' }],
    [{ prompt: null }, { field: 'prompt', rule: 'type', allowed: 'string' }],
    [{ prompt: '' }, { field: 'prompt', rule: 'min_length', allowed: 1 }],
    [{ prompt: 'x'.repeat(32_001) }, { field: 'prompt', rule: 'max_length', allowed: 32_000 }],
    [{ model: 'sora' }, { field: 'model', rule: 'one_of', allowed: ['openAiSora2Plus', 'openAiSora2Pro'] }],
    [{ size: '1x1' }, { field: 'size', rule: 'one_of', allowed: ['720x1280', '1280x720'] }],
    [{ aspect_ratio: '1:1' }, { field: 'aspect_ratio', rule: 'one_of', allowed: ['16:9', '9:16'] }],
    [{ seconds: 5 }, { field: 'seconds', rule: 'one_of', allowed: [4, 8, 12] }],
    [{ duration: 4.5 }, { field: 'duration', rule: 'type', allowed: 'int' }],
    [{ input_reference: [] }, { field: 'input_reference', rule: 'min_items', allowed: 1 }],
    [{ priority: 101 }, { field: 'priority', rule: 'maximum', allowed: 100 }],
    [{ priority: -101 }, { field: 'priority', rule: 'minimum', allowed: -100 }],
    [{ on_unknown_submission: 'again' }, { field: 'on_unknown_submission', rule: 'one_of' }],
    [{ metadata: { long: 'x'.repeat(16_385) } }, { field: 'metadata', rule: 'max_bytes', allowed: 16_384 }],
    [{ webhook_url: 'https://user:pw@example.com' }, { field: 'webhook_url', rule: 'webhook_url_credentials' }],
    [{ input_reference: ['ftp://example.com'] }, { field: 'input_reference.0', rule: 'http_url' }],
    [{ seed: 1 }, { field: 'seed', rule: 'unknown_field', allowed: null }],
    [{ seconds: '8' }, { field: 'seconds', rule: 'type' }],
  ])('says of %j which field broke which rule', (wrong, expected) => {
    expect(errorsOf({ ...VALID, ...wrong })).toEqual([expect.objectContaining(expected)])
  })

  it.each([
    ['size', '720x1280', 'aspect_ratio', '9:16'],
    ['seconds', 4, 'duration', 4],
    ['input_reference', ['https://example.com/a.png'], 'image_urls', ['https://example.com/a.png']],
  ])('refuses %s=%j together with %s=%j', (one, value, other, otherValue) => {
    expect(errorsOf({ ...VALID, [one]: value, [other]: otherValue })).toEqual([
      { field: other, rule: 'exclusive', allowed: `either ${one} or ${other}` },
    ])
    expect(errorsOf({ ...VALID, [one]: value, [other]: null })).toEqual([])
  })

  it('names every wrong field at once, behind the prefix of the item', () => {
    expect(errorsOf({ seed: 1, prompt: '' }, ['items', 3]).map((error) => error.field)).toEqual([
      'items.3.model',
      'items.3.prompt',
      'items.3.seed',
    ])
  })

  it('names what is wrong between fields beside what is wrong in others', () => {
    expect(
      errorsOf({ model: 'openAiSora2Plus', prompt: 7, seconds: 5, size: '1x1', aspect_ratio: 'x', seed: 1 }),
    ).toEqual(
      expect.arrayContaining([
        expect.objectContaining({ field: 'prompt', rule: 'type' }),
        expect.objectContaining({ field: 'seconds', rule: 'one_of' }),
        expect.objectContaining({ field: 'size', rule: 'one_of' }),
        expect.objectContaining({ field: 'aspect_ratio', rule: 'exclusive' }),
        expect.objectContaining({ field: 'seed', rule: 'unknown_field' }),
      ]),
    )
  })

  it('names the fields that there are beside one that is unknown', () => {
    const parsed = generationRequest.safeParse({ ...VALID, seed: 1 })
    expect(fieldErrors(parsed.error?.issues ?? [], [], generationRequest)).toEqual([
      { field: 'seed', rule: 'unknown_field', allowed: expect.arrayContaining(['model', 'prompt', 'metadata']) },
    ])
  })

  it('names the body itself when it is no object', () => {
    expect(errorsOf('text')).toEqual([{ field: 'body', rule: 'type', allowed: 'object' }])
  })

  it('counts a prompt in code points, as the provider does', () => {
    expect(errorsOf({ ...VALID, prompt: '🦊'.repeat(32_000) })).toEqual([])
    expect(errorsOf({ ...VALID, prompt: '🦊'.repeat(32_001) })).toHaveLength(1)
  })
})

describe('findUnstorableText', () => {
  it.each([
    ['a\0b', 'body'],
    [{ prompt: '\0' }, 'prompt'],
    [{ items: [{}, { metadata: { deep: ['\ud800'] } }] }, 'items.1.metadata.deep.0'],
    [{ metadata: { 'k\0': 1 } }, 'metadata.key'],
    [['\udc00'], '0'],
  ])('finds what Postgres refuses in %j', (value, field) => {
    expect(findUnstorableText(value)).toMatchObject({
      errors: [expect.objectContaining({ field, rule: 'storable_text' })],
      total: 1,
    })
  })

  it.each([
    [{ metadata: { order_id: 2 ** 53 } }, 'metadata.order_id', 'unsafe_number'],
    [{ metadata: { a: [{ b: -0 }] } }, 'metadata.a.0.b', 'unsafe_number'],
    [{ items: [{ priority: Number.POSITIVE_INFINITY }] }, 'items.0.priority', 'unsafe_number'],
    [JSON.parse('{"metadata":{"a":{"__proto__":1}}}'), 'metadata.a.__proto__', 'reserved_key'],
    [{ input_reference: ['http://127.1/a.png'] }, 'input_reference.0', 'private_host'],
    [{ defaults: { image_urls: ['https://nas.local/a.png'] } }, 'defaults.image_urls.0', 'private_host'],
  ])('finds in %j what would not come back or cannot be reached: %s', (value, field, rule) => {
    expect(findUnstorableText(value)).toMatchObject({ errors: [{ field, rule }], total: 1, isTooMuch: false })
  })

  it('lets images of private hosts pass where they are allowed, and whatever metadata says', () => {
    const value = { input_reference: ['http://minio:9000/a.png'] }
    expect(findUnstorableText(value, { allowPrivateImageHosts: true }).total).toBe(0)
    expect(findUnstorableText({ metadata: value }).total).toBe(0)
  })

  it('lists a hundred errors, counts them all, and ends on what is nested without end', () => {
    const { errors, total } = findUnstorableText({ items: Array.from({ length: 150 }, () => '\0') })
    expect([errors.length, total]).toEqual([100, 150])
    let deep: unknown = '\0'
    for (let level = 0; level < 50_000; level++) deep = [deep]
    expect(findUnstorableText(deep).errors).toEqual([expect.objectContaining({ rule: 'max_depth' })])
  })

  const keyed = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`k${index}`, index]))

  it('bounds the keys of every object outside metadata, and looks no further into it', () => {
    expect(findUnstorableText({ items: [keyed(100)] }).total).toBe(0)
    expect(findUnstorableText({ items: [{}, { ...keyed(100), bad: '\0' }] })).toMatchObject({
      errors: [{ field: 'items.1', rule: 'max_keys', allowed: 100, line: 2 }],
      total: 1,
    })
  })

  it.each([
    ['keys', keyed(1_600), keyed(4_000)],
    ['elements', { a: Array(8_000).fill(1) }, { a: Array(17_000).fill(1) }],
    ['text', { a: '🦊'.repeat(4_000) }, { a: 'x'.repeat(17_000) }],
    ['a long key', { ['k'.repeat(16_000)]: 1 }, { ['k'.repeat(17_000)]: 1 }],
  ])('bounds metadata by its bytes: %s', (_title, fits, bursts) => {
    for (const place of [(value: unknown) => value, (value: unknown) => ({ items: [value] })]) {
      expect(findUnstorableText(place({ metadata: fits })).total).toBe(0)
      expect(findUnstorableText(place({ metadata: bursts })).errors).toMatchObject([
        { rule: 'max_bytes', allowed: 16_384 },
      ])
    }
  })

  it('never refuses metadata whose JSON is within the bound', () => {
    // Filled to almost 16 KB, where an overestimate of the size would show.
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 3 })), fc.nat(200), (object, spare) => {
        const room = 16_384 - Buffer.byteLength(JSON.stringify({ ...object, fill: '' })) - spare
        fc.pre(room >= 0)
        const metadata = { ...object, fill: 'x'.repeat(room) }
        expect(findUnstorableText({ metadata }).errors.filter((error) => error.rule === 'max_bytes')).toEqual([])
      }),
    )
  })

  it('starts again with every metadata, and judges what stands beside it as before', () => {
    const metadata = { a: 'x'.repeat(10_000) }
    expect(findUnstorableText({ items: [{ metadata }, { metadata }], metadata }).total).toBe(0)
    expect(findUnstorableText({ metadata, other: keyed(101) }).errors).toMatchObject([
      { field: 'other', rule: 'max_keys' },
    ])
  })

  it('repeats no more than a hundred characters of a key', () => {
    expect(findUnstorableText({ ['k'.repeat(5_000)]: ['\0'] }).errors).toMatchObject([
      { field: `${'k'.repeat(100)}….0` },
    ])
  })

  it('passes every well-formed JSON value without U+0000 and reserved names', () => {
    const text = fc.string({ unit: 'binary' }).filter((value) => !value.includes('\0'))
    const name = text.filter((value) => value !== '__proto__')
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        text,
        fc.double().filter(isKeptNumber),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
        fc.dictionary(name, tie('value'), { maxKeys: 4 }),
      ),
    })).value
    fc.assert(
      fc.property(json, (value) => {
        expect(findUnstorableText(value)).toMatchObject({ errors: [], total: 0 })
      }),
    )
  })
})
