// The examples of /openapi.json, as the reference page sends them: each request of the document is one that the API takes.

import { ROUTES } from '@reelqueue/contract/routes'
import { createOperator } from '@reelqueue/shared/store/operator/operators'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { MINIMAL, problemOf, send, startApi } from './support/api.ts'
import { sessionOf } from './support/console.ts'
import { runSql } from './support/database.ts'

const media = z.object({ example: z.unknown() })
const operation = z.object({
  operationId: z.string(),
  security: z.array(z.record(z.string(), z.unknown())).default([{ apiKey: [] }]),
  parameters: z.array(z.object({ name: z.string(), in: z.string(), schema: z.looseObject({}) })).default([]),
  requestBody: z.object({ content: z.record(z.string(), media) }).optional(),
})
const documentShape = z.object({ paths: z.record(z.string(), z.record(z.string(), operation)) })

/** The refusals that only the state of an object explains: a queued generation has nothing to adopt or to retry. */
const REFUSED = new Map([
  ['adoptTask', 'illegal_move'],
  ['adoptTaskAsOperator', 'illegal_move'],
  ['retryGeneration', 'illegal_move'],
  ['retryBatch', 'nothing_to_retry'],
  ['logIn', 'wrong_password'],
])

const { database, app, client } = await startApi()
const { paths } = documentShape.parse(JSON.parse((await send('GET', `${app.url}/openapi.json`)).text))

async function idOf(path: string, body: unknown): Promise<string> {
  const { status, text } = await client.post(path, body)
  expect(status).toBeLessThan(300)
  return JSON.parse(text).id
}

let endpoints = 0
let operators = 0
const newEndpoint = () => idOf('/v1/webhook_endpoints', { url: `http://127.0.0.1:1/${++endpoints}` })

/** A new object for `{id}` of a path. */
async function newObjectFor(path: string): Promise<string> {
  if (path.startsWith('/v1/batches/')) return idOf('/v1/batches', { items: [MINIMAL, MINIMAL] })
  if (path.startsWith('/v1/webhook_endpoints/')) return newEndpoint()
  if (path.startsWith('/v1/webhook_deliveries/'))
    return idOf(`/v1/webhook_endpoints/${await newEndpoint()}/test`, undefined)
  if (path.startsWith('/admin/v1/sessions/')) {
    await sessionOf(app.database, 'viewer')
    const [session] = await runSql<{ id: string }>(database.url, 'SELECT id FROM sessions ORDER BY id DESC LIMIT 1')
    return session?.id ?? ''
  }
  if (path.startsWith('/admin/v1/operators/')) {
    const operator = { name: `mona ${++operators}`, role: 'viewer', projectId: null, passwordHash: '' } as const
    const made = await createOperator(app.database, operator)
    return made.kind === 'created' ? made.operator.id : made.kind
  }
  return idOf('/v1/generations', MINIMAL)
}

const requests = Object.entries(paths).flatMap(([path, methods]) =>
  Object.entries(methods).flatMap(([method, { requestBody, ...described }]) =>
    Object.entries(requestBody?.content ?? { none: undefined }).map(([type, body]) => ({
      name: `${described.operationId}, body ${type}`,
      ...{ path, method, type, ...described },
      example: body?.example,
    })),
  ),
)

it('every operation of the table is tried', () => {
  expect(new Set(requests.map(({ operationId }) => operationId))).toEqual(new Set(Object.keys(ROUTES)))
})

it.each(requests)('$name is taken as its example shows', async (request) => {
  const { method, operationId, path, parameters, security, type, example } = request
  const url = new URL(app.url + path.replace('{id}', path.includes('{id}') ? await newObjectFor(path) : ''))
  for (const { name, in: place, schema } of parameters)
    if (place === 'query' && (schema.default ?? schema.example) !== undefined)
      url.searchParams.set(name, String(schema.default ?? schema.example))
  const login = security.some((one) => 'apiKey' in one) ? { authorization: `Bearer ${app.key}` } : app.login
  if (type !== 'none') expect(example).toBeDefined()
  const headers = { ...login, ...(type !== 'none' && { 'content-type': type }) }
  const reply = await send(method.toUpperCase(), url.href, example, headers)
  const code = REFUSED.get(operationId)
  if (code === undefined) expect([reply.status, reply.text]).toEqual([expect.toSatisfy((s) => s < 400), reply.text])
  else expect(problemOf(reply).code).toBe(code)
})
