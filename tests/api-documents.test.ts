// The documents: the OpenAPI description is complete and valid, and the documentation pages work in a browser.
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import { type OperationId, ROUTES } from '@reelqueue/contract/routes'
import { LINES_TYPES } from '@reelqueue/contract/routes/batches'
import { ENDPOINT_EVENT_TYPES, ENDPOINT_TEST } from '@reelqueue/contract/terms/event-types'
import type { FastifyInstance, RouteOptions } from 'fastify'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { send } from './support/api.ts'
import { createDatabase, type TestDatabase } from './support/database.ts'
import { startTestApp, type TestApp } from './support/test-app.ts'

let database: TestDatabase
let app: TestApp
let document: Document
const routes: RouteOptions[] = []

const METHODS = ['get', 'put', 'post', 'delete', 'patch'] as const
const content = z.record(z.string(), z.object({ schema: z.record(z.string(), z.unknown()) }))
const operation = z.object({
  operationId: z.string(),
  summary: z.string().min(1),
  tags: z.array(z.string()).length(1),
  parameters: z.array(z.object({ name: z.string(), in: z.enum(['path', 'query', 'header']) })).optional(),
  requestBody: z.object({ content }).optional(),
  responses: z.record(
    z.string().regex(/^[2-5]\d\d$/),
    z.object({ description: z.string(), content, headers: z.record(z.string(), z.unknown()) }),
  ),
  security: z.array(z.record(z.string(), z.array(z.string()))).optional(),
})
const documentShape = z.object({
  openapi: z.string(),
  info: z.object({ title: z.string(), version: z.string() }),
  paths: z.record(z.string().startsWith('/'), z.partialRecord(z.enum(METHODS), operation)),
  components: z.object({
    schemas: z.record(z.string(), z.unknown()),
    securitySchemes: z.record(z.string(), z.unknown()),
  }),
  tags: z.array(z.object({ name: z.string() })),
  servers: z.array(z.object({ url: z.string() })).length(1),
  webhooks: z.object({ event: z.object({ post: z.object({ requestBody: z.object({ content }) }) }) }),
})
type Document = z.output<typeof documentShape>

/** Observes the registration of every route from outside, because the app has no list of routes. */
function hearRoutes(message: unknown): void {
  const { fastify } = message as { fastify: FastifyInstance }
  fastify.addHook('onRoute', (route) => {
    routes.push(route)
  })
}

beforeAll(async () => {
  database = await createDatabase()
  subscribe('fastify.initialization', hearRoutes)
  app = await startTestApp({ databaseUrl: database.url, api: true })
  unsubscribe('fastify.initialization', hearRoutes)
  const reply = await send('GET', `${app.url}/openapi.json`)
  expect(reply.headers['content-type']).toMatch(/^application\/json/)
  document = documentShape.parse(JSON.parse(reply.text))
})

afterAll(async () => {
  await app?.close()
  await database?.drop()
})

function operations() {
  return Object.entries(document.paths).flatMap(([path, item]) =>
    METHODS.flatMap((method) => {
      const found = item[method]
      return found ? [{ name: `${method.toUpperCase()} ${path}`, path, ...found }] : []
    }),
  )
}

describe('/openapi.json', () => {
  it('is OpenAPI 3.1', () => {
    expect(document.openapi).toMatch(/^3\.1\.\d+$/)
  })

  it('describes every route but the hidden ones, and no other', () => {
    const registered = routes
      .filter((route) => (route.schema as { hide?: boolean } | undefined)?.hide !== true)
      .flatMap((route) => [route.method].flat().map((method) => `${method} ${route.url.replace(/:(\w+)/g, '{$1}')}`))
      .filter((name) => !name.startsWith('HEAD '))
    expect(
      operations()
        .map(({ name }) => name)
        .sort(),
    ).toEqual(registered.sort())
  })

  it('is the table of routes: each row is registered and described under its operation id, and nothing else is', () => {
    const rows = Object.entries(ROUTES).map(([id, { method, path }]) => `${id}: ${method} ${path}`)
    expect(
      operations()
        .map(({ name, operationId }) => `${operationId}: ${name}`)
        .sort(),
    ).toEqual(rows.sort())
  })

  it('names the headers of replies', () => {
    for (const { name, operationId, responses } of operations()) {
      for (const [status, { headers }] of Object.entries(responses)) {
        expect(headers, `${name} ${status}`).toHaveProperty('X-Request-Id')
        expect('Retry-After' in headers, `${name} ${status}`).toBe(['429', '503'].includes(status))
      }
      if (operationId === 'createGeneration')
        expect(Object.keys(responses['202']?.headers ?? {})).toEqual([
          'X-Request-Id',
          'Location',
          'Idempotency-Replayed',
        ])
    }
  })

  it('types the items of a batch, as a list and as JSON Lines', () => {
    const item = { $ref: '#/components/schemas/GenerationDefaults' }
    expect(document.components.schemas).toHaveProperty('BatchRequest.properties.items.items', item)
    const content = document.paths['/v1/batches']?.post?.requestBody?.content
    expect(Object.keys(content ?? {})).toEqual(['application/json', ...LINES_TYPES])
    for (const type of LINES_TYPES)
      expect(content?.[type]?.schema).toMatchObject({ type: 'string', contentMediaType: type, contentSchema: item })
  })

  it('describes webhooks as a union by type', () => {
    const { schema } = document.webhooks.event.post.requestBody.content['application/json'] ?? {}
    expect(schema).toEqual({ $ref: '#/components/schemas/WebhookEvent' })
    const union = z.object({
      oneOf: z.array(z.object({ properties: z.object({ type: z.object({ const: z.string() }) }) })),
    })
    const types = union
      .parse(document.components.schemas.WebhookEvent)
      .oneOf.map(({ properties }) => properties.type.const)
    expect(types).toEqual([...ENDPOINT_EVENT_TYPES, ENDPOINT_TEST])
  })

  it('has the routes of the contract', () => {
    expect(operations().map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'POST /v1/generations',
        'GET /v1/generations',
        'GET /v1/generations/{id}',
        'POST /v1/generations/{id}/cancel',
        'GET /v1/generations/{id}/events',
        'POST /v1/batches',
        'GET /v1/batches',
        'GET /v1/batches/{id}',
        'POST /v1/sora/videos',
        'GET /v1/result/{id}',
        'GET /healthz',
        'GET /readyz',
        'GET /metrics',
      ]),
    )
  })

  it('resolves every $ref', () => {
    const refs: string[] = []
    const collect = (value: unknown): void => {
      if (typeof value !== 'object' || value === null) return
      for (const [key, item] of Object.entries(value)) {
        if (key === '$ref' && typeof item === 'string') refs.push(item)
        else collect(item)
      }
    }
    collect(document)
    expect(refs.length).toBeGreaterThan(10)
    for (const ref of refs) {
      expect(ref).toMatch(/^#\/components\/schemas\/\w+$/)
      expect(document.components.schemas).toHaveProperty(ref.slice('#/components/schemas/'.length))
    }
  })

  it('gives a schema for every answer, and for every body that is asked for', () => {
    for (const { name, responses, requestBody } of operations()) {
      const statuses = Object.keys(responses)
      expect(
        statuses.some((status) => status.startsWith('2')),
        name,
      ).toBe(true)
      for (const { content } of [...Object.values(responses), ...(requestBody ? [requestBody] : [])]) {
        expect(Object.keys(content).length, name).toBeGreaterThan(0)
        for (const { schema } of Object.values(content)) expect(Object.keys(schema).length, name).toBeGreaterThan(0)
      }
    }
  })

  it('names every part of a path as a parameter', () => {
    for (const { name, path, parameters = [] } of operations()) {
      const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, part]) => part)
      expect(
        parameters.filter((one) => one.in === 'path').map((one) => one.name),
        name,
      ).toEqual(inPath)
    }
  })

  it('describes refusals as problems, and asks for a key under /v1', () => {
    for (const { name, path, operationId, responses, security } of operations()) {
      for (const [status, { content }] of Object.entries(responses)) {
        if (path.startsWith('/v1/') && Number(status) >= 400)
          expect(Object.keys(content), `${name} ${status}`).toEqual(['application/problem+json'])
      }
      if (path.startsWith('/v1/')) expect(responses, name).toHaveProperty('401')
      const { caller } = ROUTES[operationId as OperationId]
      const operators = caller === 'operator' ? [{ operator: [] }, { session: [] }] : []
      expect(security, name).toEqual(path.startsWith('/v1/') ? undefined : operators)
      const isForOperators = operationId !== 'logIn' && (path.startsWith('/admin/') || path === '/metrics')
      expect(caller === 'operator', name).toBe(isForOperators)
    }
  })

  it('uses only tags that it explains', () => {
    const explained = document.tags.map((tag) => tag.name)
    for (const { name, tags } of operations()) expect(explained, name).toEqual(expect.arrayContaining(tags))
  })
})

describe('a document', () => {
  it.each(['/openapi.json', '/docs/json', '/docs/yaml', '/docs/'])(
    '%s is not sent again to who has it',
    async (path) => {
      const first = await send('GET', app.url + path)
      const packed = await send('GET', app.url + path, undefined, { 'accept-encoding': 'gzip' })
      expect([first.status, packed.status, packed.headers['content-encoding']]).toEqual([200, 200, 'gzip'])
      const [etag, packedTag] = [first.headers.etag ?? '', packed.headers.etag ?? '']
      expect(etag).toMatch(/^"[\w-]{43}"$/)
      expect(packedTag).not.toBe(etag)
      const again = await send('GET', app.url + path, undefined, { 'if-none-match': `"x", ${etag}` })
      expect([again.status, again.text, again.headers.etag]).toEqual([304, '', etag])
      const packedAgain = await send('GET', app.url + path, undefined, {
        'if-none-match': packedTag,
        'accept-encoding': 'gzip',
      })
      expect(packedAgain.status).toBe(304)
      const other = await send('GET', app.url + path, undefined, { 'if-none-match': '"x"' })
      expect([other.status, other.text]).toEqual([200, first.text])
      if (path.endsWith('json')) expect(documentShape.parse(JSON.parse(first.text))).toEqual(document)
    },
  )
})

describe('what browsers may do', () => {
  it.each([
    ['/docs/', "default-src 'self'"],
    ['/docs/scalar.js', "default-src 'none'"],
    ['/openapi.json', "default-src 'none'"],
    ['/readyz', "default-src 'none'"],
    ['/v1/generations', "default-src 'none'"],
    ['/nothing', "default-src 'none'"],
    ['/%zz', "default-src 'none'"],
    ['/admin/queues', "default-src 'self'", true],
  ])('is said with %s', async (path, policy, isOperators = false) => {
    const { headers } = await send('GET', app.url + path, undefined, isOperators ? app.login : {})
    expect(headers['content-security-policy']).toContain(policy)
    expect(headers['content-security-policy']).toContain("frame-ancestors 'none'")
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'x-frame-options': 'DENY',
      'cross-origin-opener-policy': 'same-origin',
    })
  })

  it('is said of what is no request either, and what belongs to a tenant is kept by no cache', async () => {
    const socket = connect(Number(new URL(app.url).port))
    socket.end('no HTTP\r\n\r\n')
    expect(await text(socket)).toMatch(/^HTTP\/1.1 400 [\s\S]*x-content-type-options: nosniff\r\n/)
    const own = await send('GET', `${app.url}/v1/generations`, undefined, { authorization: `Bearer ${app.key}` })
    expect([own.status, own.headers['cache-control']]).toEqual([200, 'no-store'])
  })
})

describe('/docs', () => {
  it('is a page with everything it needs from this server alone', async () => {
    const page = await send('GET', `${app.url}/docs/`)
    expect([page.status, page.headers['content-type']]).toEqual([200, expect.stringMatching(/^text\/html/)])
    const needed = [...page.text.matchAll(/(?:src|href)="(?!data:)([^"]+)"/g)].map(([, address = '']) => address)
    expect(needed).toEqual(['../openapi.json', 'scalar.js', 'start.js'])
    for (const address of needed) {
      const url = new URL(address, `${app.url}/docs/`)
      expect(url.origin).toBe(app.url)
      expect((await send('GET', url.href)).status, address).toBe(200)
    }
  })

  it('runs no script of the page itself, and none that is made while it runs: the policy allows neither', async () => {
    const page = await send('GET', `${app.url}/docs/`)
    expect(page.headers['content-security-policy']).not.toMatch(/script-src|unsafe-eval|https?:|\*/)
    expect(page.text).not.toMatch(/<script>|<style| on\w+=/)
    const scalar = await send('GET', `${app.url}/docs/scalar.js`)
    expect(scalar.text.length).toBeGreaterThan(1_000_000)
    expect(scalar.text).not.toMatch(/new Function\b|\beval\(/)
  })

  it('is there without the slash too', async () => {
    const reply = await send('GET', `${app.url}/docs`)
    expect([reply.status, new URL(reply.headers.location ?? '', `${app.url}/docs`).pathname]).toEqual([302, '/docs/'])
  })
})
