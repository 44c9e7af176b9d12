// Invalid input, a line for each case: every refusal is a problem with a stable code and named fields, and writes
// nothing. Row counts are compared over the whole database, so an orphan row would be noticed.

import { problemJson } from '@reelqueue/contract/wire/problem-body'
import { beforeEach, describe, expect, it } from 'vitest'
import { countRows, MINIMAL, problemOf, send, startApi } from './support/api.ts'

const { database, app, client } = await startApi()
let before: Awaited<ReturnType<typeof countRows>>

beforeEach(async () => {
  before = await countRows(database.url)
})

const MODELS = ['openAiSora2Plus', 'openAiSora2Pro']
const IMAGE = 'https://images.example/a.png'
const STORABLE = 'well-formed Unicode without U+0000'
const WEBHOOK = expect.stringMatching(/http/)
const SURROGATE = '\ud83e'

type FieldCase = [title: string, fields: Record<string, unknown>, field: string, rule: string, allowed: unknown]

/** Each case is sent to all three routes that accept generations, and as an item of a batch. */
const FIELDS: FieldCase[] = [
  ['no prompt', { prompt: undefined }, 'prompt', 'required', 'string'],
  ['no model', { model: undefined }, 'model', 'required', 'string'],
  ['an unknown model', { model: 'sora-9' }, 'model', 'one_of', MODELS],
  ['a model named like a built-in property', { model: 'constructor' }, 'model', 'one_of', MODELS],
  ['a null model', { model: null }, 'model', 'type', 'string'],
  ['an empty prompt', { prompt: '' }, 'prompt', 'min_length', 1],
  ['a prompt that is no string', { prompt: 7 }, 'prompt', 'type', 'string'],
  ['a prompt of 32,001 characters', { prompt: 'x'.repeat(32_001) }, 'prompt', 'max_length', 32_000],
  ['a prompt of 32,001 emoji', { prompt: '🦊'.repeat(32_001) }, 'prompt', 'max_length', 32_000],
  ['a prompt of 100,000 characters', { prompt: 'x'.repeat(100_000) }, 'prompt', 'max_length', 32_000],
  [
    'size with aspect_ratio',
    { size: '720x1280', aspect_ratio: '9:16' },
    'aspect_ratio',
    'exclusive',
    'either size or aspect_ratio',
  ],
  ['seconds with duration', { seconds: 8, duration: 8 }, 'duration', 'exclusive', 'either seconds or duration'],
  [
    'input_reference with image_urls',
    { input_reference: [IMAGE], image_urls: [IMAGE] },
    'image_urls',
    'exclusive',
    'either input_reference or image_urls',
  ],
  ['a size the model has not', { size: '1024x1024' }, 'size', 'one_of', ['720x1280', '1280x720']],
  ['an aspect ratio the model has not', { aspect_ratio: '1:1' }, 'aspect_ratio', 'one_of', ['16:9', '9:16']],
  [
    'an aspect ratio named like a built-in property',
    { aspect_ratio: 'toString' },
    'aspect_ratio',
    'one_of',
    ['16:9', '9:16'],
  ],
  ['seconds the model has not', { seconds: 5 }, 'seconds', 'one_of', [4, 8, 12]],
  ['a duration the model has not', { duration: 0 }, 'duration', 'one_of', [4, 8, 12]],
  ['seconds as a string', { seconds: '8' }, 'seconds', 'type', expect.anything()],
  ['a fraction of a second', { seconds: 8.5 }, 'seconds', 'type', expect.anything()],
  ['two images', { input_reference: [IMAGE, IMAGE] }, 'input_reference', 'max_items', 1],
  ['no image in a list', { image_urls: [] }, 'image_urls', 'min_items', 1],
  ['an image that is no list', { image_urls: IMAGE }, 'image_urls', 'type', 'array'],
  [
    'an image that is no URL',
    { input_reference: ['a.png'] },
    'input_reference.0',
    'http_url',
    'an absolute http or https URL',
  ],
  [
    'an image by ftp',
    { image_urls: ['ftp://images.example/a.png'] },
    'image_urls.0',
    'http_url',
    'an absolute http or https URL',
  ],
  [
    'an image as data',
    { image_urls: ['data:image/png;base64,AAAA'] },
    'image_urls.0',
    'http_url',
    'an absolute http or https URL',
  ],
  [
    'an image URL of 8,193 characters',
    { image_urls: [`${IMAGE}?${'q'.repeat(8_192 - IMAGE.length)}`] },
    'image_urls.0',
    'max_length',
    8_192,
  ],
  [
    'an image in a private network',
    { input_reference: ['http://169.254.169.254/latest'] },
    'input_reference.0',
    'private_host',
    expect.any(String),
  ],
  [
    'an image on a host without a dot',
    { image_urls: ['https://minio:9000/a.png'] },
    'image_urls.0',
    'private_host',
    expect.any(String),
  ],
  [
    'two image URLs in one text',
    { image_urls: [`${IMAGE}\r\n${IMAGE}`] },
    'image_urls.0',
    'http_url',
    expect.any(String),
  ],
  ['a prompt of spaces', { prompt: ' \u00a0\t' }, 'prompt', 'blank', expect.any(String)],
  ['a prompt without width', { prompt: '\u200b\u2060\ufeff' }, 'prompt', 'blank', expect.any(String)],
  ['a prompt of fillers', { prompt: '\u3164\u2800' }, 'prompt', 'blank', expect.any(String)],
  ['an order number beyond 2^53', { metadata: { id: 2 ** 60 } }, 'metadata.id', 'unsafe_number', expect.any(String)],
  ['a webhook URL that is none', { webhook_url: 'hooks.example' }, 'webhook_url', 'webhook_url_malformed', WEBHOOK],
  ['a webhook by another scheme', { webhook_url: 'file:///etc/passwd' }, 'webhook_url', 'webhook_url_scheme', WEBHOOK],
  [
    'a webhook URL with credentials',
    { webhook_url: 'https://me:secret@hooks.example/' },
    'webhook_url',
    'webhook_url_credentials',
    WEBHOOK,
  ],
  [
    'a webhook URL with a line break',
    { webhook_url: 'https://hooks.example/\r\nx' },
    'webhook_url',
    'webhook_url_malformed',
    WEBHOOK,
  ],
  [
    'a webhook URL of 2,049 characters',
    { webhook_url: `https://h/${'p'.repeat(2_039)}` },
    'webhook_url',
    'webhook_url_too_long',
    WEBHOOK,
  ],
  ['an empty custom_id', { custom_id: '' }, 'custom_id', 'min_length', 1],
  ['a custom_id of 257 characters', { custom_id: 'c'.repeat(257) }, 'custom_id', 'max_length', 256],
  ['a custom_id that is no string', { custom_id: 17 }, 'custom_id', 'type', 'string'],
  ['metadata that is no object', { metadata: 'text' }, 'metadata', 'type', 'object'],
  ['metadata that is a list', { metadata: [1] }, 'metadata', 'type', 'object'],
  ['metadata above 16 KB', { metadata: { a: 'x'.repeat(16_384) } }, 'metadata', 'max_bytes', 16_384],
  ['priority below -100', { priority: -101 }, 'priority', 'minimum', -100],
  ['priority above 100', { priority: 101 }, 'priority', 'maximum', 100],
  ['a fractional priority', { priority: 0.5 }, 'priority', 'type', expect.anything()],
  ['another policy', { on_unknown_submission: 'retry' }, 'on_unknown_submission', 'one_of', ['fail', 'resubmit']],
  ['U+0000 in the prompt', { prompt: 'a\0b' }, 'prompt', 'storable_text', STORABLE],
  ['a lone surrogate in the prompt', { prompt: SURROGATE }, 'prompt', 'storable_text', STORABLE],
  ['U+0000 in a custom_id', { custom_id: '\0' }, 'custom_id', 'storable_text', STORABLE],
  ['U+0000 deep in metadata', { metadata: { a: [{ b: '\0' }] } }, 'metadata.a.0.b', 'storable_text', STORABLE],
  ['a lone surrogate in metadata', { metadata: { a: SURROGATE } }, 'metadata.a', 'storable_text', STORABLE],
  ['U+0000 in a metadata key', { metadata: { 'a\0': 1 } }, 'metadata.key', 'storable_text', STORABLE],
  ['a lone surrogate in a metadata key', { metadata: { [SURROGATE]: 1 } }, 'metadata.key', 'storable_text', STORABLE],
  ['metadata nested 100 levels deep', { metadata: nested(100) }, 'metadata', 'max_depth', 64],
]

function nested(levels: number): Record<string, unknown> {
  let value: Record<string, unknown> = {}
  for (let level = 1; level < levels; level++) value = { a: value }
  return value
}

async function expectNothingWritten(): Promise<void> {
  expect(await countRows(database.url)).toEqual(before)
}

describe('a field that breaks a rule', () => {
  it.each(FIELDS)('%s is refused by POST /v1/generations', async (_title, fields, field, rule, allowed) => {
    const reply = await client.post('/v1/generations', { ...MINIMAL, ...fields })
    expect(reply.status).toBe(422)
    const { code, errors, total } = problemOf(reply)
    expect(code).toBe('validation_failed')
    expect(errors).toEqual([{ field: expect.stringMatching(`^${field.replaceAll('.', '\\.')}`), rule, allowed }])
    if (rule !== 'max_depth') expect(errors?.[0]?.field).toBe(field)
    expect(total).toBe(1)
    await expectNothingWritten()
  })

  it.each(FIELDS)('%s is refused in the shape of the upstream', async (_title, fields, _field, rule, allowed) => {
    const reply = await client.post('/v1/sora/videos', { ...MINIMAL, ...fields })
    expect(reply.status).toBe(422)
    expect(problemOf(reply)).toMatchObject({ code: 'validation_failed', errors: [{ rule, allowed }] })
    await expectNothingWritten()
  })

  it.each(FIELDS)('%s is refused as an item of a batch', async (_title, fields, field, rule, allowed) => {
    const reply = await client.post('/v1/batches', { items: [MINIMAL, { ...MINIMAL, ...fields }] })
    expect(reply.status).toBe(422)
    const { code, errors } = problemOf(reply)
    expect(code).toBe('validation_failed')
    expect(errors).toEqual([
      { field: expect.stringMatching(`^items\\.1\\.${field.replaceAll('.', '\\.')}`), rule, allowed, line: 2 },
    ])
    await expectNothingWritten()
  })

  it('is listed beside every other one', async () => {
    const reply = await client.post('/v1/generations', { model: 'x', prompt: '', priority: 1_000, sise: '720x1280' })
    const { errors, total } = problemOf(reply)
    expect(errors?.map(({ field, rule }) => [field, rule])).toEqual(
      expect.arrayContaining([
        ['model', 'one_of'],
        ['prompt', 'min_length'],
        ['priority', 'maximum'],
        ['sise', 'unknown_field'],
      ]),
    )
    expect(total).toBe(4)
  })

  it('is listed a hundred times at most, and counted in full', async () => {
    const { errors, total } = problemOf(await client.post('/v1/generations', unknownFields(100)))
    expect(errors).toHaveLength(100)
    // `model` and `prompt` are missing too.
    expect(total).toBe(102)
  })

  it('has a name: an unknown field is refused rather than ignored', async () => {
    const reply = await client.post('/v1/generations', { ...MINIMAL, n: 1 })
    expect(reply.status).toBe(422)
    expect(problemOf(reply).errors).toEqual([
      { field: 'n', rule: 'unknown_field', allowed: expect.arrayContaining(['model', 'prompt', 'metadata']) },
    ])
    await expectNothingWritten()
  })
})

function unknownFields(count: number): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, index) => [`field_${index}`, 1]))
}

const JSON_TYPE = { 'content-type': 'application/json' }
const VALID = JSON.stringify(MINIMAL)
const withRaw = (raw: string) => `${VALID.slice(0, -1)},${raw}}`
const DEEP = 10_000

/** Bodies sent unchanged. */
const BODIES: [title: string, body: string | Buffer, headers: Record<string, string>, status: number, code: string][] =
  [
    ['text that is not JSON', '{"model":', JSON_TYPE, 400, 'malformed_json'],
    ['JSON with something behind it', `${VALID}x`, JSON_TYPE, 400, 'malformed_json'],
    ['an empty body', '', JSON_TYPE, 400, 'malformed_json'],
    [
      'bytes that are not UTF-8',
      Buffer.from([...Buffer.from('{"prompt":"'), 0xff, 0xfe, 0x22, 0x7d]),
      JSON_TYPE,
      400,
      'malformed_json',
    ],
    ['UTF-16', Buffer.from(VALID, 'utf16le'), JSON_TYPE, 400, 'malformed_json'],
    ['a __proto__ key', withRaw('"__proto__":{"priority":1}'), JSON_TYPE, 422, 'validation_failed'],
    [
      'a __proto__ key deep in metadata',
      withRaw('"metadata":{"a":{"__proto__":1}}'),
      JSON_TYPE,
      422,
      'validation_failed',
    ],
    ['an escaped __proto__ key', withRaw('"metadata":{"\\u005f_proto__":1}'), JSON_TYPE, 422, 'validation_failed'],
    [
      'a number of too many digits',
      withRaw('"metadata":{"a":0.12345678901234567890}'),
      JSON_TYPE,
      422,
      'validation_failed',
    ],
    ['a number that is too large', withRaw('"metadata":{"a":[1e400]}'), JSON_TYPE, 422, 'validation_failed'],
    ['a negative zero', withRaw('"metadata":{"a":-0}'), JSON_TYPE, 422, 'validation_failed'],
    ['a list', '[]', JSON_TYPE, 422, 'validation_failed'],
    ['null', 'null', JSON_TYPE, 422, 'validation_failed'],
    ['a string', '"x"', JSON_TYPE, 422, 'validation_failed'],
    [
      '10,000 nested objects',
      withRaw(`"metadata":${'{"a":'.repeat(DEEP)}1${'}'.repeat(DEEP)}`),
      JSON_TYPE,
      422,
      'validation_failed',
    ],
    [
      '10,000 nested lists',
      withRaw(`"metadata":{"a":${'['.repeat(DEEP)}${']'.repeat(DEEP)}}`),
      JSON_TYPE,
      422,
      'validation_failed',
    ],
    ['500,000 nested lists', `${'['.repeat(500_000)}${']'.repeat(500_000)}`, JSON_TYPE, 422, 'validation_failed'],
    ['a form', 'model=x', { 'content-type': 'application/x-www-form-urlencoded' }, 415, 'unsupported_media_type'],
    ['plain text', VALID, { 'content-type': 'text/plain' }, 415, 'unsupported_media_type'],
    ['no content type', VALID, {}, 415, 'unsupported_media_type'],
    ['a body above 1 MB', `"${'x'.repeat(1024 * 1024)}"`, JSON_TYPE, 413, 'body_too_large'],
  ]

describe('a body that cannot be read', () => {
  it.each(BODIES)('%s is refused', async (_title, body, headers, status, code) => {
    for (const path of ['/v1/generations', '/v1/sora/videos']) {
      const reply = await client.post(path, body, headers)
      expect(reply.status).toBe(status)
      expect(problemOf(reply).code).toBe(code)
    }
    await expectNothingWritten()
    expect((await send('GET', `${app.url}/healthz`)).status).toBe(200)
  })
})

const OUT_OF_RANGE: [path: string, field: string, rule: string][] = [
  ['/v1/generations?limit=0', 'limit', 'minimum'],
  ['/v1/generations?limit=101', 'limit', 'maximum'],
  ['/v1/generations?limit=2.5', 'limit', 'type'],
  ['/v1/generations?limit=many', 'limit', 'type'],
  ['/v1/generations?limit=', 'limit', 'minimum'],
  ['/v1/generations?cursor=xyz', 'cursor', 'cursor'],
  ['/v1/generations?cursor=', 'cursor', 'cursor'],
  ['/v1/generations?cursor=batch_01jd0000000000000000000000', 'cursor', 'cursor'],
  ['/v1/generations?status=done', 'status', 'one_of'],
  ['/v1/generations?custom_id=', 'custom_id', 'min_length'],
  ['/v1/generations?batch_id=', 'batch_id', 'min_length'],
  ['/v1/generations?custom_id=%00', 'custom_id', 'storable_text'],
  ['/v1/generations?batch_id=a%00', 'batch_id', 'storable_text'],
  ['/v1/batches?limit=0', 'limit', 'minimum'],
  ['/v1/batches?cursor=gen_01jd0000000000000000000000', 'cursor', 'cursor'],
  ['/v1/generations/gen_x?wait=-1', 'wait', 'minimum'],
  ['/v1/generations/gen_x?wait=60.5', 'wait', 'maximum'],
  ['/v1/generations/gen_x?wait=61', 'wait', 'maximum'],
  ['/v1/generations/gen_x?wait=soon', 'wait', 'type'],
  ['/v1/generations/gen_x?wait=Infinity', 'wait', 'type'],
  ['/v1/generations/gen_x?wait=1&wait=2', 'wait', 'type'],
  ['/v1/generations?limit=5&limit=5', 'limit', 'type'],
  ['/v1/generations?status=queued&status=failed', 'status', 'one_of'],
  ['/v1/generations?custom_id=a&custom_id=b', 'custom_id', 'type'],
  ['/v1/webhook_deliveries?state=failed&state=pending', 'state', 'one_of'],
  ['/v1/result/gen_x?wait=61', 'wait', 'maximum'],
]

describe('an address', () => {
  it.each(OUT_OF_RANGE)('%s is refused', async (path, field, rule) => {
    const reply = await client.get(path)
    expect(reply.status).toBe(422)
    const { code, errors } = problemOf(reply)
    expect(code).toBe('validation_failed')
    expect(errors).toEqual([{ field, rule, allowed: expect.anything() }])
  })

  it.each([
    '/v1/generations/gen_unknown',
    '/v1/generations/%00',
    '/v1/generations/%F0%9F%A6%8A',
    `/v1/generations/${'x'.repeat(1_000)}`,
    '/v1/generations/gen_unknown/events',
    '/v1/batches/batch_unknown',
    '/v1/batches/%00',
    '/v1/result/sora_unknown',
    '/v1/result/%00',
    '/v1/nothing',
    '/nothing',
  ])('GET %.60s is not found', async (path) => {
    const reply = await client.get(path)
    expect(reply.status).toBe(404)
    expect(problemOf(reply).code).toBe('not_found')
  })

  it('that cannot be decoded is a problem like any other', async () => {
    const reply = await client.get('/v1/generations/%zz')
    expect(reply.status).toBe(400)
    expect(problemOf(reply).code).toBe('malformed_request')
  })
})

describe('one refusal', () => {
  it('reports all errors at once: headers, query and body, with the received text, in words', async () => {
    const body = { model: 'openaisora2plus', prompt: 7, seconds: 5, size: '720x1280', aspect_ratio: '9:16', sise: 1 }
    const reply = await client.post('/v1/generations?wait=1', body, { 'idempotency-key': '' })
    const { errors, detail } = problemJson.parse(JSON.parse(reply.text))
    expect(errors?.map(({ field, rule }) => `${field} ${rule}`).sort()).toEqual([
      'aspect_ratio exclusive',
      'idempotency-key min_length',
      'model one_of',
      'prompt type',
      'sise unknown_field',
      'wait unknown_field',
    ])
    const meant = errors?.map((error) => error.did_you_mean).filter(Boolean)
    expect(meant?.sort()).toEqual(['openAiSora2Plus', 'size'])
    expect(detail).toContain('`wait` is not known')
    expect(detail).toContain('And 3 more')
  })

  it('reports what is wrong with the query, the headers and the body of a batch', async () => {
    const reply = await client.post('/v1/batches?dry_run=maybe', { items: 7 }, { 'idempotency-key': 'x'.repeat(300) })
    expect(
      problemOf(reply)
        .errors?.map(({ field }) => field)
        .sort(),
    ).toEqual(['dry_run', 'idempotency-key', 'items'])
  })

  it.each([
    ['DELETE', '/v1/generations', 'GET, HEAD, OPTIONS, POST'],
    ['PUT', '/v1/generations/gen_x', 'GET, HEAD, OPTIONS'],
    ['GET', '/v1/generations/gen_x/cancel', 'OPTIONS, POST'],
    ['POST', '/healthz?x=1', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/readyz', 'GET, HEAD, OPTIONS'],
    ['POST', '/metrics', 'GET, HEAD, OPTIONS'],
    ['GET', '/admin/submitting/pause', 'OPTIONS, POST'],
    ['DELETE', '/admin/queues', 'GET, HEAD, OPTIONS'],
    ['POST', '/admin/queues/api/queues', 'GET, HEAD, OPTIONS'],
    ['POST', '/admin/queues/static/favicon.ico', 'GET, HEAD, OPTIONS'],
    ['PUT', '/', 'GET, HEAD, OPTIONS'],
    ['POST', '/openapi.json', 'GET, HEAD, OPTIONS'],
    ['DELETE', '/docs/', 'GET, HEAD, OPTIONS'],
    // Methods not used by any route.
    ['PROPFIND', '/v1/generations', 'GET, HEAD, OPTIONS, POST'],
    ['TRACE', '/v1/batches', 'GET, HEAD, OPTIONS, POST'],
  ])('%s %s is 405 and names the methods', async (method, path, allow) => {
    const reply = await send(method, `${app.url}${path}`)
    expect(reply.status).toBe(405)
    expect(problemOf(reply).code).toBe('method_not_allowed')
    expect(reply.headers.allow).toBe(allow)
  })

  it('has the id under which the request was sent, or one of its own', async () => {
    const named = await client.get('/v1/nothing', { 'x-request-id': 'trace-7:a' })
    expect(problemOf(named).request_id).toBe('trace-7:a')
    const forged = await client.get('/v1/nothing', { 'x-request-id': 'a b' })
    expect(problemOf(forged).request_id).toMatch(/^req_[0-9a-f]{32}$/)
    expect((await client.get('/v1/generations')).headers['x-request-id']).toMatch(/^req_/)
  })

  it('has an id whatever is answered: streams, files, pages of libraries, and what reaches no route', async () => {
    const { id } = JSON.parse((await client.post('/v1/batches', { items: [MINIMAL] })).text)
    const named = { 'x-request-id': 'trace-8' }
    const operator = { ...app.login, ...named }
    const replies = {
      stream: await client.get(`/v1/batches/${id}/results`, named),
      head: await send('HEAD', `${app.url}/healthz`, undefined, named),
      options: await send('OPTIONS', `${app.url}/v1/batches`, undefined, named),
      'no content': await client.post(`/v1/batches/${id}/cancel`, undefined, named),
      'too large': await client.post('/v1/generations', { ...MINIMAL, prompt: 'x'.repeat(2_000_000) }, named),
      'a file of the dashboard': await send('GET', `${app.url}/admin/queues/static/favicon.ico`, undefined, operator),
      'an error of the dashboard': await send(
        'GET',
        `${app.url}/admin/queues/api/queues/none/metrics`,
        undefined,
        operator,
      ),
      'a page of the dashboard without a login': await send('GET', `${app.url}/admin/queues`, undefined, named),
      'the documents': await send('GET', `${app.url}/docs/scalar.js`, undefined, named),
      metrics: await send('GET', `${app.url}/metrics`, undefined, operator),
      'an address that cannot be decoded': await send('GET', `${app.url}/v1/%E0%A4%A`, undefined, named),
      'an unknown expectation': await send('POST', `${app.url}/v1/generations`, undefined, {
        ...named,
        expect: 'tea',
      }),
    }
    for (const [name, reply] of Object.entries(replies))
      expect([name, reply.headers['x-request-id']]).toEqual([name, 'trace-8'])
    expect(problemOf(replies['an unknown expectation']).code).toBe('expectation_failed')
    await app.database.prisma.event.deleteMany()
    await app.database.prisma.generation.deleteMany()
    await app.database.prisma.batch.deleteMany()
  })

  it.each([
    ['POST', '/v1/sora/videos', 'not json'],
    ['DELETE', '/v1/sora/videos', undefined],
    ['GET', '/v1/sora/generations', undefined],
    ['GET', '/v1/result', undefined],
    ['GET', '/v1/result?id=gen_x', undefined],
  ])(
    'has `message` and `error` also for clients of the provider who ask wrongly: %s %s',
    async (method, path, body) => {
      for (const headers of [{}, { authorization: `Bearer ${app.key}`, 'content-type': 'application/json' }]) {
        const reply = await send(method, app.url + path, body, headers)
        const problem = JSON.parse(reply.text)
        expect(reply.status).toBeGreaterThanOrEqual(400)
        expect(problem).toMatchObject({
          message: problem.detail,
          error: problem.detail,
          request_id: expect.any(String),
        })
      }
    },
  )

  it.each([
    ['the prompt', '/v1/generations', '{"model":"openAiSora2Plus","prompt":"a","prompt":"b"}', 'prompt'],
    [
      'a key of metadata',
      '/v1/generations',
      '{"model":"openAiSora2Plus","prompt":"a","metadata":{"n":[{"a":1,"a":1}]}}',
      'metadata.n.0.a',
    ],
    [
      'the prompt, for clients of the provider',
      '/v1/sora/videos',
      '{"model":"openAiSora2Plus","prompt":"a","pr\\u006fmpt":"b"}',
      'prompt',
    ],
    [
      'the model of an item',
      '/v1/batches',
      '{"items":[{"model":"openAiSora2Plus","prompt":"a","model":"openAiSora2Pro"}]}',
      'items.0.model',
    ],
    ['a URL of an endpoint', '/v1/webhook_endpoints', '{"url":"https://a.example/","url":"https://b.example/"}', 'url'],
  ])('refuses %s that is given twice', async (_title, path, body, field) => {
    const reply = await client.post(path, body, { 'content-type': 'application/json' })
    expect(reply.status).toBe(422)
    expect(problemOf(reply).errors).toEqual([expect.objectContaining({ field, rule: 'duplicate_key' })])
  })

  it('refuses names given twice in lines and in the query of a batch, too', async () => {
    const lines = '{"model":"openAiSora2Plus","prompt":"a"}\n{"model":"openAiSora2Plus","prompt":"a","prompt":"b"}\n'
    const type = { 'content-type': 'application/x-ndjson' }
    expect(problemOf(await client.post('/v1/batches', lines, type)).errors).toEqual([
      expect.objectContaining({ field: 'prompt', rule: 'duplicate_key', line: 2 }),
    ])
    const query = encodeURIComponent('{"a":1,"a":2}')
    expect(problemOf(await client.post(`/v1/batches?metadata=${query}`, lines, type)).errors).toContainEqual(
      expect.objectContaining({ field: 'metadata.a', rule: 'duplicate_key' }),
    )
  })

  it('has `message` and `error` where clients of the provider look for them', async () => {
    const problem = JSON.parse((await client.post('/v1/sora/videos', { ...MINIMAL, seconds: 5 })).text)
    expect(problem).toMatchObject({ code: 'validation_failed', message: problem.detail, error: problem.detail })
    expect(problem.detail).toBe('`seconds` must be one of `4`, `8`, `12`.')
    expect(JSON.parse((await client.get('/v1/result/gen_x')).text).message).toMatch(/id/)
  })
})
