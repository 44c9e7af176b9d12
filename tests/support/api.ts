// Calls the API like a client: over sockets, with bodies and headers exactly as given, so that the API receives exactly what the test
// sends. Replies stay raw; `problemOf` and the contract's schemas check them.

import { once } from 'node:events'
import { request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { generationJson } from '@reelqueue/contract/wire/generation'
import { PROBLEM_TYPE, problemJson } from '@reelqueue/contract/wire/problem-body'
import { secretPlace } from '@reelqueue/shared/domain/sealed-places'
import { addApiKey, ensureProject, newApiKey } from '@reelqueue/shared/store/projects'
import { afterAll, expect } from 'vitest'
import { createDatabase, runSql, type TestDatabase } from './database.ts'
import { startTestApp, type TestApp, type TestAppOptions } from './test-app.ts'

export interface Reply {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly text: string
}

type Headers = Readonly<Record<string, string>>

/** Sends one request on a new connection; a body that is neither text nor bytes is sent as JSON. */
export async function send(method: string, url: string, body?: unknown, headers: Headers = {}): Promise<Reply> {
  const isRaw = typeof body === 'string' || Buffer.isBuffer(body)
  const payload = body === undefined || isRaw ? body : JSON.stringify(body)
  const outgoing = httpRequest(url, {
    method,
    agent: false,
    headers: {
      ...(payload !== undefined && { 'content-length': Buffer.byteLength(payload) }),
      ...(payload !== undefined && !isRaw && { 'content-type': 'application/json' }),
      ...headers,
    },
  })
  outgoing.end(payload)
  const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, text: await text(response) }
}

export interface Client {
  get(path: string, headers?: Headers): Promise<Reply>
  post(path: string, body?: unknown, headers?: Headers): Promise<Reply>
  patch(path: string, body?: unknown): Promise<Reply>
  delete(path: string): Promise<Reply>
}

/** A client of the API that sends `key` with every request. */
export function clientOf(base: string, key: string): Client {
  const authorization = `Bearer ${key}`
  return {
    get: (path, headers) => send('GET', base + path, undefined, { authorization, ...headers }),
    post: (path, body, headers) => send('POST', base + path, body, { authorization, ...headers }),
    patch: (path, body) => send('PATCH', base + path, body, { authorization }),
    delete: (path) => send('DELETE', base + path, undefined, { authorization }),
  }
}

/** An API without a worker on a new database, for a test file that awaits this function at its top; closed after the tests. */
export async function startApi(
  env: TestAppOptions['env'] = {},
): Promise<{ database: TestDatabase; app: TestApp; client: Client }> {
  const database = await createDatabase()
  const app = await startTestApp({ databaseUrl: database.url, api: true, env })
  afterAll(async () => {
    await app.close()
    await database.drop()
  })
  return { database, app, client: clientOf(app.url, app.key) }
}

/** The reply's body, after a check for a refusal in the documented shape. */
export function problemOf(reply: Reply) {
  expect(reply.headers['content-type']).toMatch(new RegExp(`^${PROBLEM_TYPE.replace('+', '\\+')}`))
  const problem = problemJson.strict().parse(JSON.parse(reply.text))
  expect(problem.status).toBe(reply.status)
  expect(reply.headers['x-request-id']).toBe(problem.request_id)
  // The sentences are for people: tests compare only the fields for programs.
  const errors = problem.errors?.map(({ message, did_you_mean: _, ...error }) => {
    expect(message).toMatch(/\w.*[.?]$/)
    return error
  })
  return { ...problem, errors }
}

/** The reply's body, after a check for a generation without missing or undocumented fields. */
export function generationOf(reply: Reply) {
  expect(reply.headers['content-type']).toMatch(/^application\/json/)
  return generationJson.strict().parse(JSON.parse(reply.text))
}

export const MINIMAL = { model: 'openAiSora2Plus', prompt: 'a fox in the snow' } as const

const COUNTED = ['generations', 'batches', 'events', 'submissions', 'deliveries'] as const

/** The number of rows in every table that a request could write. */
export async function countRows(databaseUrl: string): Promise<Readonly<Record<(typeof COUNTED)[number], number>>> {
  const columns = COUNTED.map((table) => `(SELECT count(*)::int FROM ${table}) AS ${table}`)
  const [row] = await runSql<Record<(typeof COUNTED)[number], number>>(databaseUrl, `SELECT ${columns.join(', ')}`)
  if (!row) throw new Error('no counts')
  return row
}

/** A client with a key of a new project. */
export async function clientOfNewProject(
  { context: app, url, webhookSecret }: Pick<TestApp, 'context' | 'url' | 'webhookSecret'>,
  name: string,
): Promise<Client> {
  const project = await ensureProject(app.database, name, (id) => app.sealer.seal(webhookSecret, secretPlace(id)))
  const key = newApiKey()
  await addApiKey(app.database, project.id, name, key)
  return clientOf(url, key)
}
